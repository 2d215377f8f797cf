import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ask, askWhole, eventsOf } from '../kit/client.ts';
import type { Stream } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { expectWhole, readPlain } from '../kit/judge.ts';
import { openSocket } from '../kit/socket.ts';
import type { Simulator } from '../../apps/simulator/src/index.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// Routing by cost and the cap on it, over HTTP, jobs and WebSockets: providers are asked, or not.

const answer = 'healthy:tokens=20';
const text = expectedText({ tokens: 20 });
/** In USD per million tokens. */
const cheap = { input: 1, output: 1 };
const middle = { input: 10, output: 10 };
const dear = { input: 100, output: 100 };
const target = (provider: string, model: string, price?: object) => ({
  provider,
  model,
  ...(price && { price }),
});
/** The provider has no such model: another target is asked at once. */
const missing = 'status:code=404';

/** A target has one price, whatever models name it: these behave alike, and have names of their own. */
const alike = (key: string) => `${answer},${key}=0`;

const models = {
  cheapest: {
    strategy: 'cheapest',
    targets: [target('backup', answer, dear), target('primary', answer, cheap)],
  },
  'cheapest fails': {
    strategy: 'cheapest',
    targets: [
      target('backup', answer, dear),
      target('backup', alike('pace'), middle),
      target('primary', missing, cheap),
    ],
  },
  'cheapest breaks off': {
    strategy: 'cheapest',
    targets: [
      target('backup', 'prefill:tokens=20', dear),
      target('primary', 'cut:tokens=20,after=8', cheap),
      target('backup', 'prefill:tokens=20,seed=0', middle),
    ].map((one) => ({ ...one, prefill: true })),
  },
  'unknown last': {
    strategy: 'cheapest',
    targets: [target('backup', alike('seed')), target('primary', alike('seed'), dear)],
  },
  'cheap second': {
    targets: [target('backup', answer, dear), target('primary', answer, cheap)],
  },
  'cheap one fails': {
    targets: [target('backup', answer, dear), target('primary', missing, cheap)],
  },
  unpriced: { targets: [target('primary', alike('n'))] },
};

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ models });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

/** More than a request with `max_tokens: 1000` costs at `cheap`, and less than it does at the others. */
const cap = '0.005';
const capped = (maxCost = cap, max_tokens = 1000) => ({
  headers: { 'x-millrace-max-cost': maxCost },
  body: { max_tokens },
});

const servedBy = async (stream: Stream): Promise<string> => {
  await expectWhole(stream, text);
  const { headers } = await stream.head;
  return String(headers['x-millrace-served-by']);
};

const asked = ({ requests }: Simulator): string[] => requests.map(({ model }) => model);

const nothingAsked = () => expect([asked(fleet.primary), asked(fleet.backup)]).toEqual([[], []]);

describe('strategy: cheapest', () => {
  test('asks the target with the lowest price, whatever the order of the config', async () => {
    expect(await servedBy(ask(fleet.url, 'cheapest'))).toBe(`primary/${answer}`);
    const whole = askWhole(fleet.url, 'cheapest');
    await whole.ended;
    expect(asked(fleet.primary).length).toBe(2);
    expect(asked(fleet.backup)).toEqual([]);
  });

  test('asks the next cheapest one when it fails', async () => {
    const by = await servedBy(ask(fleet.url, 'cheapest fails'));
    expect(by).toBe(`backup/${alike('pace')}`);
  });

  test('continues a broken answer at the cheapest other target', async () => {
    await expectWhole(ask(fleet.url, 'cheapest breaks off'), text);
    expect(asked(fleet.backup)).toEqual(['prefill:tokens=20,seed=0']);
  });

  test('asks a target of unknown price last', async () => {
    const by = await servedBy(ask(fleet.url, 'unknown last'));
    expect(by).toBe(`primary/${alike('seed')}`);
  });
});

describe('x-millrace-max-cost', () => {
  test('lets only targets be asked whose bound is within it', async () => {
    expect(await servedBy(ask(fleet.url, 'cheap second'))).toBe(`backup/${answer}`);
    expect(await servedBy(ask(fleet.url, 'cheap second', capped()))).toBe(`primary/${answer}`);
    expect(await servedBy(ask(fleet.url, 'cheap one fails'))).toBe(`backup/${answer}`);
    fleet.backup.reset();
    const { error, head } = await readPlain(ask(fleet.url, 'cheap one fails', capped()));
    expect([head.status, error?.code]).toEqual([502, 'upstream_model_not_found']);
    expect(asked(fleet.backup)).toEqual([]);
  });

  test('of a job and of a WebSocket counts, too', async () => {
    for (const how of ['max_cost', 'x-millrace-max-cost']) {
      const { id } = await postJob(0.005, { how });
      await eventsOf(fleet.url, id ?? '');
    }
    const socket = await openSocket(fleet.url);
    socket.send({
      type: 'create',
      ref: 'r',
      max_cost: 0.005,
      body: bodyOf('cheap second', 1000),
    });
    await socket.next(({ type }) => type === 'done');
    await socket.close();
    expect(asked(fleet.primary)).toEqual([answer, answer, answer]);
    expect(asked(fleet.backup)).toEqual([]);
  });

  test('refuses a request before any target is asked, with the estimate', async () => {
    for (const one of [ask, askWhole]) {
      const stream = one(fleet.url, 'cheap second', capped('0.001'));
      const { error, head } = await readPlain(stream);
      expect([head.status, error?.code]).toEqual([400, 'max_cost_exceeded']);
      expect(error?.message).toMatch(/may cost \$0\.00102\d* at its cheapest target/);
      expect(error?.message).toContain('its cap of $0.001');
    }
    nothingAsked();
  });
});

const bodyOf = (model: string, max_tokens: number) => ({
  model,
  max_tokens,
  stream: true,
  messages: [{ role: 'user', content: 'hello' }],
});

type Posted = { status: number; id?: string; code?: string | null; param?: string | null };

/** `how`: the field or the header that has the cap. */
async function postJob(
  maxCost: unknown,
  { model = 'cheap second', how = 'max_cost' } = {},
): Promise<Posted> {
  const isField = how === 'max_cost';
  const response = await fetch(`${fleet.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(!isField && { [how]: String(maxCost) }) },
    body: JSON.stringify({ body: bodyOf(model, 1000), ...(isField && { max_cost: maxCost }) }),
  });
  const { id, error } = (await response.json()) as { id?: string; error?: Omit<Posted, 'status'> };
  return { status: response.status, ...(id !== undefined && { id }), ...error };
}

describe('a request that is refused for its cap', () => {
  test('is refused as a job and on a WebSocket', async () => {
    const refusal = { status: 400, code: 'max_cost_exceeded' };
    expect(await postJob('0.001')).toMatchObject(refusal);
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', ref: 'r', max_cost: 0.001, body: bodyOf('cheap second', 1000) });
    const { error } = await socket.next(({ type }) => type === 'error');
    expect(error).toMatchObject({ code: 'max_cost_exceeded' });
    await socket.close();
    nothingAsked();
  });

  test('has a clear error if the price of its model is unknown', async () => {
    const { error, head } = await readPlain(ask(fleet.url, 'unpriced', capped()));
    expect([head.status, error?.code]).toEqual([400, 'price_unknown']);
    expect(await postJob(1, { model: 'unpriced' })).toMatchObject({
      status: 400,
      code: 'price_unknown',
    });
    nothingAsked();
  });

  test('has a clear error if its cap is no amount', async () => {
    const wrong = (param: string) => `Invalid '${param}': expected an amount in USD`;
    for (const bad of ['', 'much', '-1', '1,5', '$1', '1e9', 'Infinity']) {
      const { error, head } = await readPlain(ask(fleet.url, 'cheap second', capped(bad)));
      expect([head.status, error?.message]).toEqual([
        400,
        expect.stringContaining(wrong('x-millrace-max-cost')),
      ]);
    }
    for (const bad of ['much', -1, true, {}]) {
      expect(await postJob(bad)).toMatchObject({ status: 400, param: 'max_cost' });
    }
    const socket = await openSocket(fleet.url);
    socket.send({ type: 'create', ref: 'r', max_cost: 'much', body: bodyOf('cheap second', 1) });
    const { error } = await socket.next(({ type }) => type === 'error');
    expect(error?.message).toContain(wrong('max_cost'));
    await socket.close();
    nothingAsked();
  });
});

test('a reload changes the order by cost', async () => {
  expect(await servedBy(ask(fleet.url, 'cheapest'))).toBe(`primary/${answer}`);
  const targets = [target('backup', answer, cheap), target('primary', answer, middle)];
  await fleet.reconfigure({ models: { cheapest: { strategy: 'cheapest', targets } } });
  await expect.poll(() => servedBy(ask(fleet.url, 'cheapest'))).toBe(`backup/${answer}`);
});
