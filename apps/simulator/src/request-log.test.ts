import { once } from 'node:events';
import { Client } from 'undici';
import { describe, expect, it } from 'vitest';
import { ask, post } from './ask.ts';
import { startSimulator } from './index.ts';

describe('the request log', () => {
  it('keeps what was asked, with the key redacted, and how it went', async () => {
    await using simulator = await startSimulator();
    const headers = { authorization: 'Bearer sk-very-secret-1234' };
    await (await post(simulator.url, { model: 'healthy:tokens=5', extra: 1 }, { headers })).text();
    expect(simulator.requests).toMatchObject([
      {
        number: 1,
        method: 'POST',
        path: '/v1/chat/completions',
        model: 'healthy:tokens=5',
        headers: { authorization: '…1234' },
        body: { extra: 1 },
        rawBody: expect.stringContaining('"extra":1'),
        socket: 1,
        state: 'finished',
        status: 200,
        tokens: 5,
      },
    ]);
    expect(JSON.stringify(simulator.requests)).not.toContain('secret');
  });

  it.each(['healthy:tokens=500,pace=20', 'stall:after=3', 'silent', 's07', 'slow-headers'])(
    'notices at once that the client of %s has gone',
    async (model) => {
      await using simulator = await startSimulator();
      const controller = new AbortController();
      const reading = post(simulator.url, { model, stream: true }, controller)
        .then((response) => response.text())
        .catch((error: unknown) => error);
      await simulator.waitFor((request) => request.tokens >= (/stall|pace/u.test(model) ? 3 : 0));
      const closed = once(simulator.events, 'closed');
      controller.abort();
      await closed;
      expect(simulator.requests[0]).toMatchObject({ state: 'aborted by client' });
      expect(await reading).toBeInstanceOf(Error);
      const tokens = simulator.requests[0]?.tokens;
      // Another paced answer from its beginning to its end: time enough for a token too many.
      await ask(simulator.url, 'healthy:tokens=4,pace=20');
      expect(simulator.requests[0]?.tokens).toBe(tokens);
    },
  );

  it('notices a client that left a request without stream', async () => {
    await using simulator = await startSimulator();
    const controller = new AbortController();
    const model = 'healthy:tokens=500,pace=20';
    const answer = post(simulator.url, { model }, controller).catch((error: unknown) => error);
    await simulator.waitFor(({ state }) => state === 'open');
    controller.abort();
    await simulator.waitFor(({ state }) => state === 'aborted by client');
    expect(await answer).toBeInstanceOf(Error);
  });

  it('tells its own cuts from a client that left', async () => {
    await using simulator = await startSimulator();
    await ask(simulator.url, 's08');
    await expect(ask(simulator.url, 'reset-before-headers')).rejects.toThrow('fetch failed');
    expect(simulator.requests.map(({ state, tokens }) => [state, tokens])).toEqual([
      ['cut by simulator', 40],
      ['cut by simulator', 0],
    ]);
  });

  it('tells when each request came and was closed, in fractions of a millisecond', async () => {
    await using simulator = await startSimulator();
    const before = performance.timeOrigin + performance.now();
    await ask(simulator.url, 'cut:after=3,pace=10');
    await ask(simulator.url, 'healthy:tokens=3');
    const after = performance.timeOrigin + performance.now();
    const response = await fetch(`${simulator.url}/__requests`);
    const { requests }: { requests: { arrivedAt: number; closedAt: number }[] } = JSON.parse(
      await response.text(),
    );
    const times = requests.flatMap(({ arrivedAt, closedAt }) => [arrivedAt, closedAt]);
    expect(times).toHaveLength(4);
    expect([before, ...times, after]).toEqual([before, ...times, after].sort((a, b) => a - b));
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(19);
    expect(times.some((time) => time % 1 > 0)).toBe(true);
  });

  it('tells events in their order', async () => {
    await using simulator = await startSimulator();
    const told: string[] = [];
    for (const event of ['request', 'token', 'finished', 'closed'] as const) {
      simulator.events.on(event, ({ tokens }) => told.push(`${event} ${tokens}`));
    }
    await ask(simulator.url, 'healthy:tokens=3,pace=5');
    await simulator.waitFor(({ state }) => state === 'finished');
    expect(told).toEqual(['request 0', 'token 1', 'token 2', 'token 3', 'finished 3']);
  });

  it('rejects a wait that is over, saying what was seen', async () => {
    await using simulator = await startSimulator();
    await ask(simulator.url, 'healthy');
    const never = () => false;
    await expect(simulator.waitFor(never, { timeoutMs: 20 })).rejects.toThrow('healthy: finished');
    const controller = new AbortController();
    const waiting = simulator.waitFor(never, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  it('is bounded in requests and in bytes', async () => {
    await using simulator = await startSimulator({ log: { requests: 8, bytes: 5000 } });
    for (let request = 0; request < 40; request += 1) await ask(simulator.url, 'healthy:tokens=1');
    expect(simulator.requests.length).toBeLessThanOrEqual(10);
    expect(simulator.requests.at(-1)?.number).toBe(40);
    for (let request = 0; request < 3; request += 1) {
      await ask(simulator.url, 'healthy:tokens=1', { user: 'x'.repeat(3000) });
    }
    expect(simulator.requests).toHaveLength(1);
  });

  it('can be read and cleared over HTTP', async () => {
    await using simulator = await startSimulator({ name: 'beta' });
    await ask(simulator.url, 'healthy');
    const view = () => fetch(`${simulator.url}/__requests`).then((response) => response.json());
    expect(await view()).toMatchObject({ provider: 'beta', requests: [{ model: 'healthy' }] });
    await fetch(`${simulator.url}/__requests`, { method: 'DELETE' });
    expect(await view()).toMatchObject({ requests: [] });
  });

  it('counts connections, which requests one after the other share', async () => {
    await using simulator = await startSimulator();
    const client = new Client(simulator.url);
    for (let request = 0; request < 3; request += 1) {
      const body = JSON.stringify({
        model: 'healthy',
        messages: [{ role: 'user', content: 'hi' }],
      });
      const response = await client.request({ path: '/v1/chat/completions', method: 'POST', body });
      await response.body.dump();
    }
    expect(simulator.connections).toEqual({ open: 1, total: 1 });
    await client.close();
    expect(simulator.requests.map(({ socket }) => socket)).toEqual([1, 1, 1]);
  });

  it('closes with streams open, and twice', async () => {
    const simulator = await startSimulator();
    const reading = ask(simulator.url, 'healthy:tokens=500,pace=20');
    await simulator.waitFor(({ tokens }) => tokens > 0);
    await simulator.close();
    expect(await reading).toMatchObject({ broken: true });
    expect(simulator.requests[0]?.state).toBe('cut by simulator');
    await simulator.close();
  });
});
