import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { table } from '../table.ts';
import { svgOf } from './charts.ts';
import { chartsBeside, type RunRecord, writePage } from './page.ts';

const memory = (mb: number) => ({ ingress: mb * 1024 ** 2, redis: 12 * 1024 ** 2 });

const run: RunRecord = {
  startedAt: '2026-11-30T08:00:00.000Z',
  endedAt: '2026-11-30T08:12:00.000Z',
  machine: {
    cpu: 'a CPU',
    cores: 2,
    memoryGb: 24,
    kernel: '6.1',
    node: 'v24',
    commit: 'abc',
    redis: '7',
  },
  argv: ['memory', 'failover'],
  reports: {
    memory: {
      heading: 'How it is measured.',
      parts: [table(['memory', 'MB'], [['millrace', '371']])],
      goals: [
        { text: 'small', verdict: 'met', evidence: '371 MB' },
        { text: 'unknown', verdict: 'not measured', evidence: '' },
      ],
      isWrong: false,
      record: {
        systems: [
          {
            system: 'millrace',
            idle: memory(100),
            afterLoad: memory(200),
            recovered: memory(150),
            requests: 1,
            errors: 0,
          },
        ],
      },
    },
    failover: { heading: 'Cuts.', parts: [], goals: [], isWrong: false, record: {} },
  },
};

it('a page has the run, the goals that were measured, a section of each lane, and its charts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-page-'));
  try {
    const file = join(folder, 'speed.md');
    await writePage(file, chartsBeside(file), run);
    const page = await readFile(file, 'utf8');
    expect(page).toContain('12 minutes');
    expect(page).toContain('npm run bench -- memory failover');
    expect(page).toContain('| small | 371 MB | met |');
    expect(page).not.toContain('unknown');
    expect(page).toContain(
      '## Memory\n\nHow it is measured.\n\n![Memory of all processes](speed/memory.svg)',
    );
    expect(page).toContain('| millrace | 371 |');
    expect(page).toContain('## Failover');
    const svg = await readFile(join(folder, 'speed', 'memory.svg'), 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*millrace, after load[\s\S]*>212<[\s\S]*<\/svg>\n$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('lines are drawn for each system, on a scale where milliseconds and seconds both show', async () => {
  const svg = await svgOf({
    kind: 'lines',
    title: 'Gaps',
    x: 'streams',
    y: 'ms',
    values: [
      { system: 'bare', x: 1, y: 0.5 },
      { system: 'bare', x: 2, y: 900 },
      { system: 'millrace', x: 1, y: 2 },
      { system: 'millrace', x: 2, y: 50 },
    ],
  });
  expect(svg).toContain('>millrace<');
  expect(svg.match(/class="mark-line role-mark/g)).toHaveLength(2);
});
