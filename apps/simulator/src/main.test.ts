import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished, test } from 'vitest';
import { ask } from './ask.ts';
import { BEHAVIOURS } from './catalogue.ts';
import { helpText } from './help.ts';
import { expectedText } from './index.ts';
import { KEYS } from './keys.ts';

const MAIN = new URL('main.ts', import.meta.url).pathname;

/** Resolves with the line that a simulator prints when it listens. */
async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('the child has no standard output');
  const [line] = await once(createInterface(stdout), 'line');
  return String(line);
}

function endedBy(child: ChildProcess): ChildProcess {
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test('the help names every behaviour and every key', () => {
  const text = helpText();
  for (const name of [...Object.keys(BEHAVIOURS), ...Object.keys(KEYS)]) {
    expect(text).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
  }
});

describe('the simulated provider as a process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'says where it listens, answers, and ends on %s with a stream open',
    async (signal) => {
      const child = endedBy(spawn(process.execPath, [MAIN, '--name', 'gamma', '--port', '0']));
      const line = await firstLine(child);
      const url =
        /^simulated provider gamma on (http:\/\/127\.0\.0\.1:\d+)$/u.exec(line)?.[1] ?? '';
      expect((await ask(url, 'healthy')).text).toBe(expectedText({ tokens: 60 }));
      const open = ask(url, 'stall');
      await expect
        .poll(() => fetch(`${url}/__requests`).then((response) => response.json()))
        .toMatchObject({ requests: [{}, { tokens: 20 }] });
      child.kill(signal);
      expect(await once(child, 'exit')).toEqual([0, null]);
      expect(await open).toMatchObject({ broken: true });
    },
  );

  it('ends by itself when its parent goes', async () => {
    const child = endedBy(fork(MAIN, ['--name', 'delta'], { silent: true }));
    await firstLine(child);
    child.disconnect();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('says what is wrong with a port', async () => {
    const child = endedBy(spawn(process.execPath, [MAIN, '--port', 'http']));
    expect(await once(child, 'exit')).toEqual([2, null]);
  });
});
