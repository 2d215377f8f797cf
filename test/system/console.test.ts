import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { chat } from '../kit/api.ts';
import {
  browserPath,
  buildConsole,
  desktop,
  openPage,
  phone,
  startBrowser,
  takePicture,
} from '../kit/browser.ts';
import type { WatchedPage } from '../kit/browser.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, jsonOf, open } from '../kit/http.ts';
import type { Exchange } from '../kit/http.ts';

/*
 * A tour of the console in a real Chromium, with live data: each page on a desktop in light and on a phone in dark. With
 * MILLRACE_SCREENS=FOLDER it also takes the pictures of docs/img, on all four screens.
 */

const takesPictures = process.env['MILLRACE_SCREENS'] !== undefined;
const screens = [
  { name: 'desktop-light', ...desktop, theme: 'light' as const },
  { name: 'phone-dark', ...phone, theme: 'dark' as const },
  ...(takesPictures
    ? [
        { name: 'desktop-dark', ...desktop, theme: 'dark' as const },
        { name: 'phone-light', ...phone, theme: 'light' as const },
      ]
    : []),
];

const pages = [
  ['home', '/admin'],
  ['requests', '/admin/console/requests'],
  ['live', '/admin/console/requests?view=live'],
  ['queue', '/admin/console/queue'],
  ['fleet', '/admin/console/fleet'],
  ['upstreams', '/admin/console/upstreams'],
  ['usage', '/admin/console/usage'],
  ['keys', '/admin/console/keys'],
  ['audit', '/admin/console/audit'],
  ['debug', '/admin/console/debug'],
  ['webhooks', '/admin/console/webhooks'],
  ['config', '/admin/console/config'],
  ['playground', '/admin/console/playground'],
  ['setup', '/admin/console/setup'],
] as const;

/** What a client could put into a name, to be run where the name is shown. */
const script = '<img src=x onerror=alert(1)>';

let fleet: Fleet;
let browser: Browser;
const streams: Exchange[] = [];

const ask = (model: string, more = {}) =>
  call(`${fleet.url}/v1/chat/completions`, { body: chat(model, more) });

describe.skipIf(browserPath === undefined)('the console in a browser', () => {
  beforeAll(async () => {
    buildConsole();
    fleet = await startFleet({
      admin: true,
      workers: 2,
      models: {
        'gpt-4o': {
          targets: [target('primary', 'healthy:tokens=40'), target('backup', 'healthy')],
        },
        cut: {
          targets: [
            target('primary', 'cut:after=12,tokens=40,pace=4'),
            target('backup', 'healthy:tokens=40'),
          ],
        },
        'any/*': { targets: [target('primary', '*')] },
        failing: 'status:code=400',
        story: {
          targets: [
            target('primary', 'healthy:tokens=120,pace=20'),
            target('backup', 'healthy:tokens=120'),
          ],
        },
        slow: {
          targets: [target('primary', 'healthy:tokens=5000,pace=400'), target('backup', 'healthy')],
        },
        [script]: 'healthy:tokens=5',
      },
      config: {
        chaos: true,
        debugLog: { dir: 'debug' },
        webhooks: { secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', allowPrivate: true },
      },
    });
    browser = await startBrowser();
    const ended = await Promise.all([
      ask('gpt-4o'),
      ask('gpt-4o', { user: script }),
      ask('cut'),
      ask('cut', { stream: true }),
      ask('failing'),
      ask(script),
    ]);
    for (let i = 0; i < 3; i += 1) {
      const stream = open(`${fleet.url}/v1/chat/completions`, {
        body: chat('slow', { stream: true }),
      });
      await stream.head;
      streams.push(stream);
    }
    await vi.waitUntil(
      async () => {
        const { data } = jsonOf(await call(`${fleet.url}/admin/requests`)) as { data: unknown[] };
        return data.length === ended.length;
      },
      { timeout: 30_000 },
    );
  });
  afterAll(async () => {
    for (const stream of streams) stream.leave();
    await browser?.close();
    await fleet?.close();
  });

  describe.each(screens)('on a $name', (screen) => {
    let watched: WatchedPage;
    beforeAll(async () => {
      watched = await openPage(browser, screen, fleet.url);
    });
    afterAll(() => watched.close());

    test.each(pages)('the page %s is whole, quiet, steady and accessible', async (name, path) => {
      const { page } = watched;
      await visit(watched, path);
      await takePicture(page, `${name}-${screen.name}`);
      expect(await watched.findings()).toEqual([]);
      expect(await watched.layoutShift()).toBeLessThan(0.1);
      // A phone scrolls in one direction.
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
      expect(overflow).toBeLessThanOrEqual(0);
      expect(screen.width === desktop.width ? await cutTables(page) : []).toEqual([]);
      expect(watched.misdeeds()).toEqual([]);
    });

    test.each(requests)('a request that %s shows %s', async (name, shown, query) => {
      const { page } = watched;
      await visit(watched, `/admin/console/requests/${await idOf(query)}`);
      await takePicture(page, `request-${name.replaceAll(' ', '-')}-${screen.name}`);
      const text = await page.locator('main').innerText();
      expect(text).toMatch(shown);
      expect(await watched.findings()).toEqual([]);
      expect(await watched.layoutShift()).toBeLessThan(0.1);
      expect(watched.misdeeds()).toEqual([]);
    });
  });

  test('the filter bar narrows the list, names what it leaves out, and stands in the address', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await visit(watched, '/admin/console/requests');
    await page.getByRole('combobox', { name: 'Filter' }).fill('status:failed modle:x');
    await page.getByRole('combobox', { name: 'Filter' }).press('Enter');
    const rows = page.locator('.request-list:not(.stale) tbody tr');
    await expect.poll(() => rows.count()).toBe(1);
    expect(await rows.first().innerText()).toContain('failing');
    expect(await page.locator('.problems').innerText()).toContain('no filter is called modle');
    expect(new URL(page.url()).searchParams.get('q')).toBe('status:failed modle:x');
    await page.getByRole('combobox', { name: 'Filter' }).press('Escape');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.locator('.strip').waitFor();
    expect(page.url()).toContain('/admin/console/requests/req_');
    await watched.close();
  });

  test('the playback shows the answer up to its moment, and all of it at its end', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await visit(watched, `/admin/console/requests/${await idOf('model=cut&status=rescued')}`);
    const answer = page.getByRole('region', { name: 'The answer' });
    const moment = page.getByRole('slider', { name: 'Moment of the answer' });
    const all = await answer.innerText();
    await moment.fill('0');
    await expect.poll(async () => (await answer.innerText()).length).toBeLessThan(all.length);
    await page.getByRole('button', { name: 'Play' }).click();
    await expect.poll(() => answer.innerText()).toBe(all);
    await page.getByRole('button', { name: 'Play' }).waitFor();
    await watched.close();
  });

  test('an answer in the playground goes on when its worker is killed, and shows where', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await visit(watched, '/admin/console/playground?model=story');
    await page.getByRole('button', { name: 'Send, and kill its worker on the way' }).click();
    const seam = page.locator('mark.seam').first();
    // Its gap is known when the first text behind it has come.
    await expect.poll(() => seam.innerText(), { timeout: 30_000 }).toMatch(/\d+ m?s/);
    await takePicture(page, 'playground-rescued');
    await watched.close();
  });

  test('an answer in the playground goes on while its page is loaded anew, and while another page is open', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await visit(watched, '/admin/console/playground?model=story');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    const text = page.getByRole('region', { name: 'Text of the answer' });
    await expect.poll(() => text.innerText()).toContain('w12');
    await page.reload();
    await expect.poll(() => text.innerText()).toContain('w25');
    await page.getByRole('link', { name: 'Fleet' }).click();
    await page.getByRole('table', { name: 'Processes' }).waitFor();
    await page.getByRole('link', { name: 'Playground' }).click();
    await page.getByRole('button', { name: 'Ask further' }).waitFor();
    const words = (await text.innerText()).match(/w\d+/g);
    expect(words).toEqual(Array.from({ length: 110 }, (_, index) => `w${index + 10}`));
    expect(watched.misdeeds()).toEqual([]);
    await watched.close();
  });

  test('the playground takes a name that only a wildcard serves, and goes back to its list', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await visit(watched, '/admin/console/playground');
    const model = page.getByLabel('Model');
    await model.selectOption('another name');
    await model.fill('any/healthy:tokens=8');
    await model.press('Enter');
    await expect.poll(() => page.url()).toContain('model=any');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.getByRole('button', { name: 'Ask further' }).waitFor();
    await model.fill('');
    await model.press('Tab');
    await model.selectOption('gpt-4o');
    expect(watched.misdeeds()).toEqual([]);
    await watched.close();
  });

  test('a page that throws leaves the navigation and the other pages as they are', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    const { page } = watched;
    await page.route('**/admin/fleet', (route) => route.fulfill({ json: {} }));
    await visit(watched, '/admin/console/fleet');
    const heading = page.locator('main h1');
    await expect.poll(() => heading.innerText()).toBe('This page has failed');
    await page.getByRole('link', { name: 'Upstreams' }).click();
    await expect.poll(() => heading.innerText()).toBe('Upstreams');
    await watched.close();
  });

  test('a request that does not exist says so', async () => {
    const watched = await openPage(browser, { ...desktop, theme: 'light' }, fleet.url);
    await visit(watched, `/admin/console/requests/${encodeURIComponent(script)}`);
    const { page } = watched;
    expect(await page.locator('main h1').innerText()).toBe('No such request');
    expect(await page.locator('main').innerText()).toContain(script);
    await watched.close();
  });
});

/** What the page of a request shows, and the filter that finds one. */
const requests = [
  ['was rescued', /[\d,]+ ms\s+At [\d.]+ m?s: connection broken/, 'model=cut&status=rescued'],
  ['failed', /failed[\s\S]*Attempts/, 'model=failing'],
  ['has markup for names', /<img src=x onerror=alert\(1\)>/, `model=${encodeURIComponent(script)}`],
] as const;

/** The id of a request that ended. */
async function idOf(query: string): Promise<string> {
  const path = `${fleet.url}/admin/requests?limit=1&${query}`;
  const { data } = jsonOf(await call(path)) as { data: { id: string }[] };
  const [found] = data;
  if (!found) throw new Error(`no request matches ${query}`);
  return found.id;
}

/** The names of tables that are wider than their frames. */
const cutTables = (page: WatchedPage['page']) =>
  page.evaluate(`[...document.querySelectorAll('.table-frame')]
    .filter((frame) => frame.scrollWidth > frame.clientWidth)
    .map((frame) => frame.querySelector('table').getAttribute('aria-label'))`);

const target = (provider: string, model: string) => ({
  provider,
  model,
  price: { input: 2.5, cachedInput: 1.25, output: 10 },
});

/** Opens a page, and waits until it has loaded what it shows. */
async function visit({ page }: WatchedPage, path: string): Promise<void> {
  await page.goto(fleet.url + path);
  await page.locator('main h1').waitFor();
  await expect.poll(() => page.locator('main .loading').count()).toBe(0);
}
