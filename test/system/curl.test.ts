import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aliases, chat, expectClosed, upstreamOf } from '../kit/api.ts';
import { contentOf, eventsOf } from '../kit/events.ts';
import { spawnChild } from '../kit/child.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { readStrictly } from '../kit/strict-event-stream.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const short = 'healthy:tokens=30,unicode=1';
const paced = 'healthy:tokens=10,pace=50';
const long = (seed: number) => `healthy:tokens=5000,pace=10,seed=${seed}`;

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    models: aliases(short, paced, 'status:code=503', long(1), long(2), long(3)),
  });
});
afterAll(() => fleet.close());

/** curl -N as one would type it; whatever is left of it ends with the test. */
function curl(body: unknown, ...flags: string[]) {
  const args = [
    '-sN',
    ...flags,
    '-H',
    'content-type: application/json',
    '-d',
    JSON.stringify(body),
  ];
  const url = `${fleet.url}/v1/chat/completions`;
  const { process: child, exited } = spawnChild({
    name: 'curl',
    command: 'curl',
    args: [...args, url],
  });
  const parts: string[] = [];
  child.stdout?.on('data', (part: string) => parts.push(part));
  return { child, parts, ended: exited.then(Number) };
}

describe('curl -N', () => {
  it('gets a whole stream', async () => {
    const { parts, ended } = curl(chat(short, { stream: true }));
    expect(await ended).toBe(0);
    const strict = readStrictly();
    for (const part of parts) strict.push(part);
    strict.end(true);
    expect(strict.fault).toBeUndefined();
    expect(contentOf(eventsOf(parts.join('')))).toBe(expectedText({ tokens: 30, unicode: 1 }));
  });

  it('gets each token as it is said, not all at the end', async () => {
    const { parts, ended } = curl(chat(paced, { stream: true }));
    await ended;
    expect(parts.length).toBeGreaterThan(5);
    expect(contentOf(eventsOf(parts.join('')))).toBe(expectedText({ tokens: 10 }));
  });

  it('gets an event-stream head that tells everybody not to buffer', async () => {
    const { parts, ended } = curl(chat(short, { stream: true }), '-D', '-', '-o', '/dev/null');
    await ended;
    const head = parts.join('').toLowerCase();
    expect(head).toMatch(/^http\/1\.1 200/);
    expect(head).toContain('content-type: text/event-stream');
    expect(head).toContain('cache-control: no-cache');
    expect(head).toContain('x-accel-buffering: no');
    expect(head).toContain('x-request-id: req_');
  });

  it('gets an error as its exit code, with the error object', async () => {
    const { parts, ended } = curl(chat('status:code=503', { stream: true }), '--fail-with-body');
    expect(await ended).toBe(22);
    expect(JSON.parse(parts.join(''))).toMatchObject({ error: { code: 'overloaded' } });
  });

  it.each([
    ['SIGKILL', 1, true],
    ['SIGTERM', 2, true],
    ['SIGKILL', 3, false],
  ] as const)(
    'killed with %s closes the upstream call of seed %i, with stream %s',
    async (signal, seed, stream) => {
      const { child, ended } = curl(chat(long(seed), { stream }));
      if (stream) await once(child.stdout as Readable, 'data');
      const upstream = await upstreamOf(fleet.primary, long(seed));
      const at = Date.now();
      child.kill(signal);
      await expectClosed(fleet.primary, upstream, at);
      await ended;
      expect(child.signalCode).toBe(signal);
    },
  );
});
