import { readdir, rm, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { createMigrator, openDatabase } from '../../apps/admin/src/database/open.ts';
import { chat } from '../../test/kit/api.ts';
import { buildConsole, desktop, openPage, startBrowser } from '../../test/kit/browser.ts';
import { startFleet } from '../../test/kit/fleet.ts';
import type { Fleet, RoleProcess } from '../../test/kit/fleet.ts';
import { open } from '../../test/kit/http.ts';
import { cpuBetween, readCpu, totalOf } from '../../test/kit/proc.ts';
import { root } from '../../test/kit/roles.ts';
import { fillLedger } from '../ledger/fill.ts';
import { median } from '../load/samples.ts';

export interface ConsoleResult {
  /** Requests in the ledger. */
  rows: number;
  /** Milliseconds from the navigation to the figures of the first page, without a cache; median of five. */
  firstViewMs: number;
  /** Kilobytes of scripts and styles, as they are sent: of the first page, and of all pages. */
  firstKb: number;
  allKb: number;
  /** Streams that run while these were measured. */
  streams: number;
  /** Milliseconds between frames of the live list: the 95th of 100, and the longest. */
  frameP95Ms: number;
  frameMaxMs: number;
  /** CPU of ingress and workers (ms per s): before a page was ever open, with the live list, after it was closed. */
  cpu: { before: number; open: number; after: number };
}

const streamCount = 500;
/** Milliseconds of a measurement of frames or CPU. */
const windowMs = 10_000;

/** A fleet with a full ledger and many running streams, and a real Chromium that looks at it. */
export async function runConsole(
  { quick }: { quick: boolean },
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<ConsoleResult> {
  const rows = quick ? 5000 : 100_000;
  const streams = quick ? 50 : streamCount;
  buildConsole();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-console-'));
  const url = `sqlite:${join(folder, 'ledger.db')}`;
  const database = openDatabase(url, () => {});
  await createMigrator(database)();
  await fillLedger(database, { rows, newest: Date.now(), signal, onProgress });
  await database.destroy();
  let fleet: Fleet | undefined;
  let browser: Browser | undefined;
  try {
    fleet = await startFleet({
      admin: true,
      workers: 2,
      models: { slow: 'healthy:tokens=5000,pace=400' },
      config: { database: { url } },
    });
    browser = await startBrowser();
    onProgress('console: first view');
    const firstViews: number[] = [];
    for (let i = 0; i < 5; i += 1) firstViews.push(await firstView(browser, fleet));
    onProgress(`console: ${streams} streams`);
    const running = Array.from({ length: streams }, () =>
      open(`${fleet?.url}/v1/chat/completions`, { body: chat('slow', { stream: true }) }),
    );
    await Promise.all(running.map((stream) => stream.head));
    // Not counted: the processes still compile.
    await cpuOf(fleet);
    const before = await cpuOf(fleet);
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    await watched.page.goto(`${fleet.url}/admin/console/requests?view=live`);
    await watched.page.locator('tbody tr').first().waitFor();
    const [frames, whileOpen] = await Promise.all([framesOf(watched.page), cpuOf(fleet)]);
    await watched.close();
    const after = await cpuOf(fleet);
    for (const stream of running) stream.leave();
    await Promise.all(running.map((stream) => stream.ended.catch(() => {})));
    const sizes = await bundleSizes();
    return {
      rows,
      firstViewMs: median(firstViews),
      ...sizes,
      streams,
      frameP95Ms: frames[Math.floor(frames.length * 0.95)] ?? Number.NaN,
      frameMaxMs: frames.at(-1) ?? Number.NaN,
      cpu: { before, open: whileOpen, after },
    };
  } finally {
    await browser?.close();
    await fleet?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function firstView(browser: Browser, fleet: Fleet): Promise<number> {
  const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
  try {
    await watched.page.goto(`${fleet.url}/admin`, { waitUntil: 'commit' });
    await watched.page.locator('.saved .value').first().waitFor();
    // Since the navigation began.
    return Number(await watched.page.evaluate('performance.now()'));
  } finally {
    await watched.close();
  }
}

/** Milliseconds between the frames of a window, in rising order. */
const framesOf = async (page: Page): Promise<number[]> =>
  (await page.evaluate(`new Promise((resolve) => {
    const frames = [];
    const begun = performance.now();
    let last = begun;
    const next = (now) => {
      frames.push(now - last);
      last = now;
      if (now - begun < ${windowMs}) requestAnimationFrame(next);
      else resolve(frames.sort((a, b) => a - b));
    };
    requestAnimationFrame(next);
  })`)) as number[];

/** Milliseconds of CPU per second that ingress and workers use during a window. */
async function cpuOf({ ingresses, workers }: Fleet): Promise<number> {
  const pids = [...ingresses, ...workers].map(({ child }: RoleProcess) => child.pid);
  const begun = await Promise.all(pids.map(readCpu));
  await new Promise((resolve) => setTimeout(resolve, windowMs));
  const ended = await Promise.all(pids.map(readCpu));
  const used = ended.map((reading, i) => totalOf(cpuBetween(begun[i] ?? {}, reading)));
  return (used.reduce((sum, seconds) => sum + seconds, 0) / (windowMs / 1000)) * 1000;
}

/** Kilobytes of the compressed scripts and styles; the first page loads those whose names begin with `index`. */
async function bundleSizes(): Promise<{ firstKb: number; allKb: number }> {
  const folder = join(root, 'apps/admin/console/dist/assets');
  const names = await readdir(folder);
  let firstKb = 0;
  let allKb = 0;
  for (const name of names.filter((one) => /\.(js|css)$/.test(one))) {
    const sent = names.includes(`${name}.br`) ? `${name}.br` : name;
    const kb = (await stat(join(folder, sent))).size / 1000;
    allKb += kb;
    if (name.startsWith('index-')) firstKb += kb;
  }
  return { firstKb, allKb };
}
