import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browserPath, buildConsole, desktop, openPage, startBrowser } from '../kit/browser.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';

// The login form of the console, in a real Chromium at a fleet whose config has an admin.

const password = 'a-password-of-the-test';

let fleet: Fleet;
let browser: Browser;

describe.skipIf(browserPath === undefined)('the login form', () => {
  beforeAll(async () => {
    buildConsole();
    fleet = await startFleet({
      admin: true,
      models: { m: 'healthy' },
      config: { admin: { user: 'ops', password } },
    });
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await fleet?.close();
  });

  test('stays until the password is right, and the page goes on behind it', async () => {
    const screen = { ...desktop, theme: 'light' as const };
    const watched = await openPage(browser, screen, fleet.url, [/status of 401/]);
    const { page } = watched;
    await page.goto(`${fleet.url}/admin/console/fleet`);
    const form = page.getByRole('dialog', { name: 'Log in' });
    await form.waitFor();
    // A browser lets a page refuse the first one only.
    for (let i = 0; i < 3; i += 1) await page.keyboard.press('Escape');
    expect(await form.isVisible()).toBe(true);
    const logIn = async (shown: string) => {
      await form.getByLabel('User').fill('ops');
      await form.getByLabel('Password').fill(shown);
      await form.getByRole('button', { name: 'Log in' }).click();
    };
    await logIn('wrong');
    await form.getByRole('alert').waitFor();
    expect(await watched.findings()).toEqual([]);
    await logIn(password);
    await page.getByRole('table', { name: 'Processes' }).waitFor();
    expect(await form.isVisible()).toBe(false);
    expect(watched.misdeeds()).toEqual([]);

    const other = await page.context().newPage();
    await other.goto(`${fleet.url}/admin/console/fleet`);
    const table = other.getByRole('table', { name: 'Processes' });
    await table.waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await form.waitFor();
    const otherForm = other.getByRole('dialog', { name: 'Log in' });
    await otherForm.waitFor();
    expect(await table.count(), 'a logout in one tab clears the others').toBe(0);
    expect(await otherForm.innerText()).not.toContain('`');
    await logIn(password);
    await table.waitFor();
    expect(await otherForm.count(), 'a login in one tab holds in the others').toBe(0);
    expect(watched.misdeeds()).toEqual([]);
    await watched.close();
  });
});
