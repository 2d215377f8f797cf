import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aliases, chat, complete } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import type { Exchange } from '../kit/http.ts';
import { openSocket } from '../kit/socket.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

const short = 'healthy:tokens=20';
const steady = (seed: number) => `healthy:tokens=60,pace=10,seed=${seed}`;
const endless = (seed: number) => `healthy:tokens=5000,pace=10,seed=${seed}`;
const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/** Breaks off after some text, at its only target. */
const cutShort = 'cut:after=10';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    ingresses: 2,
    models: aliases(
      short,
      cutShort,
      'status:code=400',
      ...seeds.map(steady),
      ...seeds.map(endless),
    ),
    config: {
      shards: 4,
      keys: [
        { id: 'a', secret: 'secret-a' },
        { id: 'b', secret: 'secret-b' },
      ],
    },
  });
});
afterAll(() => fleet.close());
beforeEach(() => fleet.primary.reset());

const asA = { authorization: 'Bearer secret-a' };
const asB = { authorization: 'Bearer secret-b' };
const urls = () => fleet.ingresses.map(({ url }) => url) as [string, string];
const newKey = () => crypto.randomUUID();

const ask = (
  url: string,
  model: string,
  key: string,
  more: Record<string, string> = {},
): Exchange =>
  complete(url, chat(model, { stream: true }), { ...asA, 'idempotency-key': key, ...more });

const callsOf = (model: string) => fleet.primary.requests.filter((one) => one.model === model);
const textOf = (text: string): string =>
  [...text.matchAll(/^data: (\{.*\})$/gm)]
    .map(([, json = '']) => JSON.parse(json) as { choices?: { delta: { content?: string } }[] })
    .map(({ choices }) => choices?.[0]?.delta.content ?? '')
    .join('');
const idOf = async (one: Exchange) => (await one.head).headers['x-request-id'];

describe('a second call with the same Idempotency-Key', () => {
  it('gets the running answer from its start, on any ingress, with one call upstream', async () => {
    const [one, two] = urls();
    const [model, key] = [steady(1), newKey()];
    const first = ask(one, model, key);
    await first.until(({ text }) => textOf(text) !== '');
    const others = [ask(one, model, key), ask(two, model, key), ask(two, model, key)];
    const answers = await Promise.all([first, ...others].map(({ ended }) => ended));
    for (const { text, how, headers } of answers) {
      expect(how).toBe('complete');
      expect(text.replaceAll(/^: .*\n\n/gm, '')).toBe(answers[0]?.text);
      expect(headers['x-request-id']).toBe(answers[0]?.headers['x-request-id']);
    }
    expect(textOf(answers[0]?.text ?? '')).toBe(expectedText({ tokens: 60, seed: 1 }));
    expect(answers.map(({ headers }) => headers['idempotent-replayed'])).toEqual([
      undefined,
      'true',
      'true',
      'true',
    ]);
    expect(callsOf(model)).toHaveLength(1);
  });

  it('gets an error in the stream under the id of the first call', async () => {
    const [one, two] = urls();
    const key = newKey();
    const off = { 'x-millrace-continuation': 'off' };
    const answers = [
      await ask(one, cutShort, key, off).ended,
      await ask(two, cutShort, key, off).ended,
    ];
    const errorIds = answers.map(({ text }) => /"request_id":"(\w+)"/.exec(text)?.[1]);
    const ids = answers.map(({ headers }) => headers['x-request-id']);
    expect(errorIds).toEqual([ids[0], ids[0]]);
    expect(ids[1]).toBe(ids[0]);
    expect(callsOf(cutShort)).toHaveLength(1);
  });

  it('gets the finished answer, streaming or not', async () => {
    const [one, two] = urls();
    for (const stream of [true, false]) {
      const headers = { ...asA, 'idempotency-key': newKey() };
      const first = await complete(one, chat(short, { stream }), headers).ended;
      const calls = callsOf(short).length;
      const second = await complete(two, chat(short, { stream }), headers).ended;
      expect(second).toMatchObject({ status: 200, how: 'complete' });
      expect(second.text.replaceAll(/^: .*\n\n/gm, '')).toBe(first.text);
      expect(callsOf(short)).toHaveLength(calls);
    }
  });

  it('is one request also when they come at the same moment', async () => {
    const [one, two] = urls();
    const [model, key] = [steady(2), newKey()];
    const calls = Array.from({ length: 10 }, (_, i) => ask(i % 2 ? one : two, model, key));
    const ids = await Promise.all(calls.map(idOf));
    expect(new Set(ids).size).toBe(1);
    const texts = await Promise.all(calls.map(async ({ ended }) => textOf((await ended).text)));
    expect(new Set(texts)).toEqual(new Set([expectedText({ tokens: 60, seed: 2 })]));
    expect(callsOf(model)).toHaveLength(1);
  });

  it('gets the same error', async () => {
    const key = newKey();
    const first = await ask(urls()[0], 'status:code=400', key).ended;
    const second = await ask(urls()[1], 'status:code=400', key).ended;
    expect(second.status).toBe(400);
    expect([second.status, second.text]).toEqual([first.status, first.text]);
    expect(callsOf('status:code=400')).toHaveLength(1);
  });

  it('is a 409 when it asks for something else, and the first one goes on', async () => {
    const key = newKey();
    const first = ask(urls()[0], steady(3), key);
    await first.head;
    const other = await ask(urls()[1], short, key).ended;
    expect(other.status).toBe(409);
    expect(errorOf(other)).toMatchObject({
      type: 'invalid_request_error',
      param: 'Idempotency-Key',
      code: 'idempotency_key_reused',
    });
    expect(other.headers['x-should-retry']).toBe('false');
    const job = await call(`${urls()[1]}/v1/jobs`, {
      body: { body: chat(steady(3), { stream: true }) },
      headers: { ...asA, 'idempotency-key': key },
    });
    expect(job.status).toBe(409);
    expect((await first.ended).text).toContain('[DONE]');
  });

  it('is another request with another API key', async () => {
    const key = newKey();
    const [first, second] = [ask(urls()[0], short, key), ask(urls()[0], short, key, asB)];
    expect(await idOf(first)).not.toBe(await idOf(second));
    expect((await second.ended).status).toBe(200);
  });
});

describe('a client that leaves', () => {
  it('takes nothing from the other one, and the last one ends the request', async () => {
    const [one, two] = urls();
    const [model, key] = [endless(1), newKey()];
    const [first, second] = [ask(one, model, key), ask(two, model, key)];
    await Promise.all([first, second].map((it) => it.until(({ text }) => textOf(text) !== '')));
    first.leave();
    const seen = second.text.length;
    await second.until(({ text }) => text.length > seen + 5000);
    expect(callsOf(model).map(({ state }) => state)).toEqual(['open']);
    second.leave();
    await fleet.primary.waitFor((one) => one.model === model && one.state !== 'open');
  });

  it('does not take it from one on the same ingress either', async () => {
    const [model, key] = [endless(2), newKey()];
    const [first, second] = [ask(fleet.url, model, key), ask(fleet.url, model, key)];
    await Promise.all([first, second].map((it) => it.until(({ text }) => textOf(text) !== '')));
    second.leave();
    const seen = first.text.length;
    await first.until(({ text }) => text.length > seen + 5000);
    expect(callsOf(model)).toHaveLength(1);
    first.leave();
    await fleet.primary.waitFor((one) => one.model === model && one.state !== 'open');
  });

  it('can come again with its key, and has the request made anew', async () => {
    const [model, key] = [endless(3), newKey()];
    const first = ask(fleet.url, model, key);
    const id = await idOf(first);
    first.leave();
    await fleet.primary.waitFor((one) => one.model === model && one.state !== 'open');
    const second = ask(fleet.url, model, key);
    expect((await second.head).status).toBe(200);
    expect(await idOf(second)).not.toBe(id);
    second.leave();
  });

  it('leaves it running for one who asked to keep it', async () => {
    const [model, key] = [steady(4), newKey()];
    const first = ask(fleet.url, model, key);
    const keeper = ask(fleet.url, model, key, { 'x-millrace-on-disconnect': 'keep' });
    const id = String(await idOf(keeper));
    await first.head;
    keeper.leave();
    first.leave();
    const headers = asA;
    const { text } = await call(`${fleet.url}/v1/jobs/${id}/events`, { headers });
    expect(text).toContain('event: done');
  });

  it('finds a request that was cancelled on purpose cancelled', async () => {
    const [model, key] = [endless(5), newKey()];
    const first = ask(fleet.url, model, key);
    const id = String(await idOf(first));
    await call(`${fleet.url}/v1/jobs/${id}`, { method: 'DELETE', headers: asA });
    await first.ended;
    const second = await ask(fleet.url, model, key).ended;
    expect(second.text).toContain('"code":"request_cancelled"');
    expect(callsOf(model)).toHaveLength(1);
  });
});

describe('jobs and WebSockets', () => {
  it('a job is made once, and its state is told', async () => {
    const body = { body: chat(short, { stream: true }), metadata: { n: 1 } };
    const headers = { ...asA, 'idempotency-key': newKey() };
    const first = await call(`${urls()[0]}/v1/jobs`, { body, headers });
    const { id } = jsonOf(first) as { id: string };
    await call(`${urls()[0]}/v1/jobs/${id}/events`, { headers: asA });
    const second = await call(`${urls()[1]}/v1/jobs`, { body, headers });
    expect(second.status).toBe(202);
    expect(jsonOf(second)).toEqual({ ...(jsonOf(first) as object), status: 'completed' });
    const other = { ...body, metadata: { n: 2 } };
    expect((await call(`${urls()[1]}/v1/jobs`, { body: other, headers })).status).toBe(409);
  });

  it('a create is made once, on this socket and on others', async () => {
    const sockets = await Promise.all(urls().map((url) => openSocket(url, asA)));
    const [one, two] = sockets as [(typeof sockets)[0], (typeof sockets)[0]];
    const frame = {
      type: 'create',
      idempotency_key: `ключ-${newKey()}`,
      body: chat(steady(6), { stream: true }),
    };
    one.send({ ...frame, ref: 'first' });
    const { id } = await one.next(({ ref }) => ref === 'first');
    one.send({ ...frame, ref: 'again' });
    two.send({ ...frame, ref: 'elsewhere' });
    expect(await one.next(({ ref }) => ref === 'again')).toMatchObject({ type: 'created', id });
    expect(await two.next(({ ref }) => ref === 'elsewhere')).toMatchObject({ type: 'created', id });
    two.send({ ...frame, ref: 'wrong', body: chat(short, { stream: true }) });
    const refused = await two.next(({ ref }) => ref === 'wrong');
    expect(refused.error).toMatchObject({ code: 'idempotency_key_reused' });
    // The first one's leaving leaves the other its stream.
    one.leave();
    await two.next(({ type }) => type === 'done');
    const entries = two.frames.filter(({ entry }) => entry !== undefined);
    expect(new Set(entries.map(({ entry }) => entry)).size).toBe(entries.length);
    const shown = entries
      .filter(({ type }) => type === 'chunk')
      .map(({ data }) => data as { choices?: { delta: { content?: string } }[] })
      .map(({ choices }) => choices?.[0]?.delta.content ?? '');
    expect(shown.join('')).toBe(expectedText({ tokens: 60, seed: 6 }));
    await two.close();
  });

  it('a socket’s two callers are one leaver when it closes', async () => {
    const socket = await openSocket(fleet.url, asA);
    const frame = { type: 'create', idempotency_key: newKey(), body: chat(endless(6)) };
    for (const ref of ['one', 'two']) {
      socket.send({ ...frame, ref, body: chat(endless(6), { stream: true }) });
      await socket.next((it) => it.ref === ref);
    }
    await fleet.primary.waitFor((one) => one.model === endless(6));
    expect(callsOf(endless(6))).toHaveLength(1);
    socket.leave();
    await fleet.primary.waitFor((one) => one.model === endless(6) && one.state !== 'open');
  });
});

/** A text as Node puts it into a header: a character for each of its bytes. */
const bytesOf = (text: string) => Buffer.from(text).toString('latin1');

describe('an Idempotency-Key that is not ASCII', () => {
  it.each(['é', 'À', '日本', '🔑'.repeat(63)])('%s is a key like any other', async (text) => {
    const key = bytesOf(text);
    const first = await ask(urls()[0], short, key).ended;
    const second = await ask(urls()[1], short, key).ended;
    expect(second).toMatchObject({ status: 200, headers: { 'idempotent-replayed': 'true' } });
    expect(second.headers['x-request-id']).toBe(first.headers['x-request-id']);
    // The same key on a socket, and another request.
    const socket = await openSocket(fleet.url, asA);
    socket.send({ type: 'create', idempotency_key: text, body: chat(short) });
    const { error } = await socket.next(({ type }) => type === 'error');
    expect(error).toMatchObject({ code: 'idempotency_key_reused' });
    await socket.close();
  });
});

describe('an Idempotency-Key that cannot be one', () => {
  it('because there are two is a 400, also where both are the same', async () => {
    for (const second of ['b', 'a']) {
      for (const [path, body] of [
        ['/v1/chat/completions', chat(short)],
        ['/v1/jobs', { body: chat(short) }],
      ] as const) {
        const headers = { ...asA, 'idempotency-key': ['a', second] };
        const answer = await call(`${fleet.url}${path}`, { body, headers });
        expect(answer.status).toBe(400);
        expect(errorOf(answer)).toMatchObject({ code: 'invalid_idempotency_key' });
      }
    }
    // One that looks like two is one.
    expect((await ask(fleet.url, short, 'a, b').ended).status).toBe(200);
  });

  it.each([
    ['empty', ''],
    ['longer than 255 bytes', 'x'.repeat(256)],
    ['of 10 KB', 'x'.repeat(10_240)],
    ['with a control character', 'a\tb'],
    ['with one that is two bytes', bytesOf('a\u0085b')],
    ['longer than 255 bytes in UTF-8', bytesOf('ü'.repeat(128))],
    ['that is no UTF-8', 'caf\u00e9'],
  ])('%s is a 400', async (_what, key) => {
    const answer = await ask(fleet.url, short, key).ended;
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({
      param: 'Idempotency-Key',
      code: 'invalid_idempotency_key',
    });
  });

  it('is a 400 on a socket, in bytes', async () => {
    const socket = await openSocket(fleet.url, asA);
    for (const [i, key] of ['ü'.repeat(128), 'a\u0000b', '\ud800', null, 5].entries()) {
      socket.send({ type: 'create', ref: String(i), idempotency_key: key, body: chat(short) });
      const { error } = await socket.next(({ ref }) => ref === String(i));
      expect(error).toMatchObject({ param: 'idempotency_key' });
    }
    await socket.close();
  });

  it('with 255 bytes is fine', async () => {
    expect((await ask(fleet.url, short, 'x'.repeat(255)).ended).status).toBe(200);
  });
});
