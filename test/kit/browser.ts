import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { root } from './roles.ts';

/*
 * What runs in the page is text here, because Node has no types of the DOM.
 */
const notesShifts = `
  globalThis.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) shifts.push(value);
  }).observe({ type: 'layout-shift', buffered: true });
`;

/* A real Chromium that opens pages of a fleet, and notes what no page may do. */

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Where `npm test` looks for one, too (scripts/setup/browser.mjs). */
export const browserPath = ((): string | undefined => {
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return CHROMIUM;
  const folders = PATH.split(delimiter);
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find((path) => existsSync(path));
})();

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const startBrowser = (): Promise<Browser> => {
  if (browserPath === undefined) throw new Error('there is no Chromium on this machine');
  return chromium.launch({ executablePath: browserPath, args: flags });
};

/** Builds the console if its sources have changed, as every start does. */
export function buildConsole(): void {
  const { status } = spawnSync(process.execPath, ['scripts/setup.mjs', '--console'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the console could not be built');
}

export type Screen = {
  width: number;
  height: number;
  theme: 'light' | 'dark';
};

export const desktop = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

export type WatchedPage = {
  readonly page: Page;
  /** What the pages did that none may do, since the last call: errors on the console, requests to other hosts. */
  misdeeds(): string[];
  /** The layout shift of the page that is open: 0.1 and less is good (web.dev/cls). */
  layoutShift(): Promise<number>;
  /** Serious and critical findings of axe on the page that is open. */
  findings(): Promise<string[]>;
  close(): Promise<void>;
};

/** Opens an empty page, for the pages of one origin. `expected`: console errors that a test causes. */
export async function openPage(
  browser: Browser,
  { width, height, theme }: Screen,
  origin: string,
  expected: readonly RegExp[] = [],
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
  const page = await context.newPage();
  let seen: string[] = [];
  page.on('console', (message) => {
    if (message.type() !== 'error' || expected.some((one) => one.test(message.text()))) return;
    seen.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => void seen.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('data:') && !url.startsWith('blob:')) {
      seen.push(`request to another host: ${url}`);
    }
  });
  await page.addInitScript(notesShifts);
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  return {
    page,
    misdeeds() {
      const found = seen;
      seen = [];
      return found;
    },
    async layoutShift() {
      return Number(await page.evaluate('shifts.reduce((sum, shift) => sum + shift, 0)'));
    },
    async findings() {
      // Evaluated as a string: the page's policy allows no scripts of others.
      await page.evaluate(axe);
      const result = (await page.evaluate('axe.run()')) as { violations: Violation[] };
      return result.violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) =>
          `${id}: ${nodes.map(({ html }) => html).join(' | ')}`.slice(0, 600),
        );
    },
    close: () => context.close(),
  };
}

type Violation = { id: string; impact?: string; nodes: { html: string }[] };

/** Where the pictures of a tour go; undefined: it takes none. */
export const pictureFolder = process.env['MILLRACE_SCREENS'];

export async function takePicture(page: Page, name: string): Promise<void> {
  if (pictureFolder === undefined) return;
  await mkdir(pictureFolder, { recursive: true });
  await page.screenshot({ path: join(pictureFolder, `${name}.png`) });
}
