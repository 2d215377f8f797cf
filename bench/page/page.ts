import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { LaneReport } from '../lane.ts';
import { type Machine, machineLine } from '../machine.ts';
import { asMarkdown, number, table } from '../table.ts';
import { svgOf } from './charts.ts';
import { type Figure, figuresFrom, type Records } from './figures.ts';

/** All results of one run, as in the JSON. */
export interface RunRecord {
  startedAt: string;
  endedAt: string;
  machine: Machine;
  /** The arguments of the run. */
  argv: string[];
  reports: Record<string, LaneReport>;
}

/** Writes the page, and the charts that it shows to `charts`. */
export async function writePage(file: string, charts: string, run: RunRecord): Promise<void> {
  const figures = await writeCharts(charts, run);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, pageOf(run, figures, relative(dirname(file), charts)));
}

export async function writeCharts(folder: string, run: RunRecord): Promise<Figure[]> {
  const records = Object.fromEntries(
    Object.entries(run.reports).map(([key, { record }]) => [key, record]),
  ) as Records;
  const figures = figuresFrom(records);
  await mkdir(folder, { recursive: true });
  for (const { file, chart } of figures) {
    await writeFile(join(folder, file), `${await svgOf(chart)}\n`);
  }
  return figures;
}

const TITLES: Record<string, string> = {
  compare: 'Side by side',
  memory: 'Memory',
  idle: 'Nothing to do',
  density: 'Streams at a time',
};

/** The page as Markdown; `folder` is where its charts are, as seen from it. */
export function pageOf(run: RunRecord, figures: readonly Figure[], folder: string): string {
  const sections = Object.entries(run.reports).map(([key, report]) => {
    const shown = figures
      .filter(({ lane }) => lane === key)
      .map(({ file, chart }) => `![${chart.title}](${folder}/${file})`);
    const title = TITLES[key] ?? `${key[0]?.toUpperCase()}${key.slice(1)}`;
    return [`## ${title}`, report.heading, ...shown, asMarkdown(report.parts)].join('\n\n');
  });
  return `${[INTRODUCTION, runParagraph(run), goalsTable(run), ...sections].join('\n\n')}\n`;
}

const INTRODUCTION = `# Performance

\`npm run bench\` wrote this page; the command stands below. What is measured, and how:

- \`direct\` is the load generator straight at the upstream, the limit of this set-up. \`bare\` is fastify and
  undici that forward bytes and keep nothing, the floor for a proxy on Node. \`nginx\` is the floor for any
  proxy, \`portkey\` the npm package \`@portkey-ai/gateway\`. \`millrace\` is one ingress, one worker and
  the embedded Redis, as a default install has them.
- All of it runs on one machine, so compare systems within this page and not with figures from elsewhere. Systems are measured in
  turn, each round begins with another one, and a figure is the median over the rounds. A ratio is taken
  within each round.
- CPU is the time on a CPU of all threads of all processes of a system, Redis included.
- Every answer is compared with the upstream's, token by token. A lost or wrong token is an error.
- Chunks that come late come together and cost less: a run that did not keep pace looks too cheap, and is
  marked. \`pieces/req\` counts the writes of an answer, \`XADD/req\` the entries added in Redis.`;

function runParagraph({ startedAt, endedAt, machine, argv, reports }: RunRecord): string {
  const minutes = (Date.parse(endedAt) - Date.parse(startedAt)) / 60_000;
  const { systems = [] } = (reports['compare']?.record ?? {}) as {
    systems?: { name: string; versions?: Record<string, string> }[];
  };
  const versions = systems.flatMap(({ versions: each = {} }) =>
    Object.entries(each).map(([name, version]) => `${name} ${version}`),
  );
  return [
    `**The run**: ${startedAt.slice(0, 16).replace('T', ' ')} UTC, ${number(minutes)} minutes.`,
    machineLine(machine),
    ...(versions.length > 0 ? [`Peers: ${versions.join(', ')}.`] : []),
    `\n\n\`\`\`sh\nnpm run bench -- ${argv.join(' ')}\n\`\`\``,
  ].join(' ');
}

function goalsTable({ reports }: RunRecord): string {
  const rows = Object.values(reports).flatMap(({ goals }) =>
    goals
      .filter(({ verdict }) => verdict !== 'not measured')
      .map(({ text, verdict, evidence }) => [text, evidence, verdict]),
  );
  return ['## Goals', asMarkdown([table(['goal', 'measured', ''], rows)])].join('\n\n');
}

/** docs/performance.md has its charts in docs/performance. */
export const chartsBeside = (file: string): string =>
  join(dirname(file), basename(file).replace(/\.md$/, ''));
