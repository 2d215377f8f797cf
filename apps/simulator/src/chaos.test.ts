import { expect, onTestFinished, test } from 'vitest';
import { startSimulator } from './server.ts';

async function start() {
  const simulator = await startSimulator({ name: 'one' });
  onTestFinished(() => simulator.close());
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const ask = async (request: string, stream = true) => {
    const answer = fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-millrace-request': request },
      body: JSON.stringify({
        model: stream ? 'healthy:tokens=100000,pace=5' : 'healthy:first=3600000',
        stream,
        messages: [{ role: 'user', content: 'hello' }],
      }),
      signal: leaving.signal,
    }).then(({ text }) => text);
    answer.catch(() => undefined);
    return simulator.waitFor(({ headers }) => headers['x-millrace-request'] === request);
  };
  const disturb = async (body: unknown, type = 'application/json') => {
    const answer = await fetch(`${simulator.url}/__chaos`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: JSON.stringify(body),
    });
    return { status: answer.status, view: await answer.json() };
  };
  return { simulator, ask, disturb };
}

test('the answers of one request, or all of them, are cut', async () => {
  const { ask, disturb } = await start();
  const [a, b] = [await ask('a'), await ask('b')];
  const { view } = await disturb({ action: 'cut', request: 'a' });
  expect(view).toMatchObject({ provider: 'one', answers: [{ request: 'a', number: a.number }] });
  expect([a.state, b.state]).toEqual(['cut by simulator', 'open']);
  const whole = await ask('c', false);
  expect((await disturb({ action: 'cut' })).view).toMatchObject({
    answers: [{ request: 'b' }, { request: 'c' }],
  });
  expect(whole.state).toBe('cut by simulator');
  expect((await disturb({ action: 'cut' })).view).toMatchObject({ answers: [] });
});

test('a stalled answer sends nothing more, and its connection stays open', async () => {
  const { simulator, ask, disturb } = await start();
  const entry = await ask('a');
  await simulator.waitFor(({ tokens }) => tokens > 2);
  expect((await disturb({ action: 'stall' })).view).toMatchObject({ answers: [{ request: 'a' }] });
  const before = entry.tokens;
  // Another answer at the same pace shows that time has passed.
  const other = await ask('b');
  await simulator.waitFor(({ number, tokens }) => number === other.number && tokens > 10);
  expect(entry.tokens).toBe(before);
  expect(entry.state).toBe('open');
});

test.each([{}, { action: 'kill' }, { action: 'cut', request: 1 }, null, 'cut'])(
  'what is no order is refused, and disturbs nothing: %j',
  async (body) => {
    const { ask, disturb } = await start();
    const entry = await ask('a');
    expect((await disturb(body)).status).toBe(400);
    expect(entry.state).toBe('open');
  },
);

test('a page of another site, which cannot send JSON without asking first, disturbs nothing', async () => {
  const { ask, disturb } = await start();
  const entry = await ask('a');
  expect((await disturb({ action: 'cut' }, 'text/plain')).status).toBe(400);
  expect(entry.state).toBe('open');
});
