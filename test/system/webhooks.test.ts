import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat } from '../kit/api.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { call, errorOf, jsonOf } from '../kit/http.ts';
import { startReceiver } from '../kit/receiver.ts';
import type { Message, Receiver } from '../kit/receiver.ts';

// What needs an operator's attention, and the messages about it and about ended jobs, with a real receiver that verifies them.

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
/** Longer than a retry, a time limit, or the lock of a control plane that was killed. */
const patient = { timeout: 40_000, interval: 200 };
const held = 'healthy:tokens=5';

let fleet: Fleet;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver(secret);
  fleet = await startFleet({
    admin: true,
    models: {
      small: 'healthy:tokens=3',
      slow: 'healthy:tokens=40,pace=50',
      bad: 'status:code=400',
      held,
    },
    config: { webhooks: { secret, allowPrivate: true, url: `${receiver.url}/fleet` } },
  });
});
afterAll(async () => {
  await fleet?.close();
  await receiver?.close();
});

type Json = Record<string, unknown>;
type Shown = Json & { id: string; state: string; status: number | null; last_error: string | null };

const admin = (method: string, path: string) => call(`${fleet.url}/admin/${path}`, { method });

/** A path of the receiver that no other try has used. */
const freshPath = (name: string): string => `/${name}-${randomUUID()}`;

async function createJob(job: Json): Promise<string> {
  const answer = await call(`${fleet.url}/v1/jobs`, { body: job });
  expect(answer.status).toBe(202);
  return (jsonOf(answer) as { id: string }).id;
}

const jobTo = (path: string, model = 'small', more: Json = {}): Promise<string> =>
  createJob({ body: chat(model), webhook: { url: receiver.url + path }, ...more });

const about = (id: string): Message[] => receiver.messages.filter(({ data }) => data['id'] === id);

async function deliveries(query = ''): Promise<Shown[]> {
  const answer = await admin('GET', `webhooks?limit=1000${query}`);
  expect(answer.status).toBe(200);
  const { data } = jsonOf(answer) as { data: Shown[] };
  // A path may be what authenticates.
  for (const { url } of data) expect(url).toMatch(/^http:\/\/[^/]+\/\(not shown\)$/);
  return data;
}

const deliveryOf = async (request: string): Promise<Shown | undefined> =>
  (await deliveries()).find((one) => one.id === `msg_${request}`);

async function attention(...codes: string[]): Promise<Json[]> {
  const answer = await admin('GET', 'attention');
  expect(answer.status).toBe(200);
  const { data } = jsonOf(answer) as { data: (Json & { code: string })[] };
  return codes.length === 0 ? data : data.filter(({ code }) => codes.includes(code));
}

describe('a job with a webhook', () => {
  test('has its end delivered to its own URL and to that of the fleet, signed', async () => {
    const path = freshPath('own');
    const metadata = { order: 42, webhook: 'no' };
    const id = await jobTo(path, 'small', { metadata });
    await expect
      .poll(() =>
        about(id)
          .map((one) => one.path)
          .sort(),
      )
      .toEqual(['/fleet', path]);
    const [message] = receiver.at(path);
    expect(message).toMatchObject({ id: `msg_${id}`, type: 'job.completed' });
    const job = jsonOf(await call(`${fleet.url}/v1/jobs/${id}`, { method: 'GET' })) as Json;
    expect(message?.data).toMatchObject({
      id,
      status: 'completed',
      model: 'small',
      endpoint: '/v1/chat/completions',
      created_at: job['created_at'],
      finished_at: job['finished_at'],
      usage: job['usage'],
      attempts: 1,
      error: null,
      metadata,
      result_url: `/v1/jobs/${id}`,
    });
    await expect.poll(() => deliveryOf(id)).toMatchObject({ state: 'delivered', status: 204 });
  });

  test('has its failure and its cancellation delivered', async () => {
    const [failed, cancelled] = await Promise.all([
      jobTo(freshPath('failed'), 'bad'),
      jobTo(freshPath('cancelled'), 'slow'),
    ]);
    await call(`${fleet.url}/v1/jobs/${cancelled}`, { method: 'DELETE' });
    await expect.poll(() => about(failed)).toHaveLength(2);
    await expect.poll(() => about(cancelled)).toHaveLength(2);
    expect(about(failed)[0]).toMatchObject({
      type: 'job.failed',
      data: { status: 'failed', error: { message: expect.any(String) } },
    });
    expect(about(cancelled)[0]).toMatchObject({ type: 'job.cancelled', data: { error: null } });
  });

  test('goes to the fleet only if it names no URL; a request with a connection goes nowhere', async () => {
    const one = await createJob({ body: chat('small') });
    const other = await createJob({ body: chat('small'), webhook: {} });
    const attached = await call(`${fleet.url}/v1/chat/completions`, { body: chat('small') });
    const last = await createJob({ body: chat('small') });
    await expect.poll(() => about(last)).toHaveLength(1);
    for (const id of [one, other]) expect(about(id).map(({ path }) => path)).toEqual(['/fleet']);
    expect(about(String(attached.headers['x-request-id']))).toEqual([]);
  });

  test('is refused if its URL cannot be used', async () => {
    const refused = async (webhook: unknown) =>
      errorOf(await call(`${fleet.url}/v1/jobs`, { body: { body: chat('small'), webhook } }));
    expect(await refused({ url: 'ftp://example.com' })).toMatchObject({ param: 'webhook.url' });
    expect(await refused({ url: 'https://me:pw@example.com' })).toMatchObject({
      param: 'webhook.url',
    });
    expect(await refused({ url: 3 })).toMatchObject({ param: 'webhook.url', code: 'invalid_type' });
    expect(await refused('https://example.com')).toMatchObject({ param: 'webhook' });
    expect(await refused({ uri: 'x' })).toMatchObject({ code: 'unknown_parameter' });
  });
});

describe('a receiver', () => {
  test('that redirects is not followed, and the delivery can be deleted', async () => {
    const [from, to] = [freshPath('redirect'), freshPath('inside')];
    receiver.answer(from, (response) => {
      response.writeHead(307, { location: `${receiver.url}${to}` }).end();
    });
    const id = await jobTo(from);
    await expect.poll(() => deliveryOf(id)).toMatchObject({ state: 'waiting', status: 307 });
    const shown = await deliveryOf(id);
    expect(shown?.last_error).toMatch(/redirect.*not followed/);
    expect(receiver.at(to)).toEqual([]);
    expect((await admin('DELETE', `webhooks/msg_${id}`)).status).toBe(200);
    expect(await deliveryOf(id)).toBeUndefined();
    expect(errorOf(await admin('DELETE', `webhooks/msg_${id}`)).code).toBe('webhook_not_found');
  });

  test('that is gone gets nothing any more, until an operator replays the dead letter', async () => {
    const path = freshPath('gone');
    receiver.answer(path, (response) => {
      response.writeHead(receiver.at(path).length === 1 ? 410 : 200).end();
    });
    const id = await jobTo(path);
    await expect.poll(() => deliveryOf(id)).toMatchObject({ state: 'dead', status: 410 });
    expect((await deliveries('&state=dead')).map((one) => one.id)).toContain(`msg_${id}`);
    expect(await attention('webhooks_dead')).toHaveLength(1);
    expect((await admin('POST', `webhooks/msg_${id}/replay`)).status).toBe(200);
    await expect.poll(() => receiver.at(path)).toHaveLength(2);
    await expect.poll(() => deliveryOf(id)).toMatchObject({ state: 'delivered' });
    expect(await attention('webhooks_dead')).toEqual([]);
  });
});

// Side by side: most of their time they wait.
describe.concurrent('a message', () => {
  const order = (what: 'open' | 'close') =>
    admin('POST', `upstreams/primary%2F${encodeURIComponent(held)}/${what}`);
  const codes = ['model_unavailable', 'target_held'];

  test('of a receiver that fails, or hangs: it gets the same message again', async ({ expect }) => {
    const [flaky, hanging] = [freshPath('flaky'), freshPath('hanging')];
    receiver.answer(flaky, (response) => {
      response.writeHead(receiver.at(flaky).length === 1 ? 500 : 200).end('sorry');
    });
    receiver.answer(hanging, (response) => {
      if (receiver.at(hanging).length > 1) response.end();
    });
    const ids = await Promise.all([jobTo(flaky), jobTo(hanging)]);
    await expect
      .poll(() => deliveryOf(ids[0] ?? ''))
      .toMatchObject({
        state: 'waiting',
        status: 500,
        last_error: expect.stringContaining('sorry'),
      });
    for (const path of [flaky, hanging]) {
      await expect.poll(() => receiver.at(path), patient).toHaveLength(2);
      const [first, second] = receiver.at(path);
      expect(second).toMatchObject({ id: first?.id, type: 'job.completed', data: first?.data });
    }
    await expect.poll(() => deliveryOf(ids[0] ?? '')).toMatchObject({ state: 'delivered' });
  }, 45_000);

  test('of what needs attention: it is listed while it lasts, and fires and resolves an alert', async ({
    expect,
  }) => {
    await order('close');
    await expect.poll(() => attention(...codes), patient).toEqual([]);
    const before = receiver.messages.length;
    const from = Date.now();
    await order('open');
    const listed = await attention(...codes);
    expect(listed).toMatchObject([
      { id: 'model_unavailable:held', severity: 'critical', link: '/admin/console/upstreams' },
      { code: 'target_held', severity: 'info', detail: expect.stringContaining('by local') },
    ]);
    const since = Date.parse(String(listed[0]?.['since_at']));
    expect(since).toBeGreaterThanOrEqual(from - 1);
    expect((await attention(...codes))[0]).toEqual(listed[0]);
    const alerts = (type: string) =>
      receiver.messages
        .slice(before)
        .filter(({ type: found, data }) => found === type && codes.includes(String(data['code'])));
    await expect.poll(() => alerts('alert.fired'), patient).toHaveLength(2);
    expect(alerts('alert.fired')[0]?.data).toMatchObject({
      severity: 'critical',
      resolved_at: null,
    });
    await order('close');
    await expect.poll(() => attention(...codes)).toEqual([]);
    expect(alerts('alert.resolved')).toEqual([]);
    await expect.poll(() => alerts('alert.resolved'), patient).toHaveLength(2);
    expect(alerts('alert.resolved')[0]?.data['resolved_at']).toEqual(expect.any(String));
    expect(alerts('alert.fired')).toHaveLength(2);
  }, 60_000);
});

describe('a control plane that is killed', () => {
  const kill = () => Promise.all(fleet.admins.splice(0).map((one) => one.stop('SIGKILL')));

  test('loses no delivery: of jobs that end meanwhile, and of those under way', async () => {
    const [later, underWay] = [freshPath('later'), freshPath('under-way')];
    receiver.answer(underWay, (response) => {
      if (receiver.at(underWay).length > 1) response.end();
    });
    await jobTo(underWay);
    await expect.poll(() => receiver.at(underWay)).toHaveLength(1);
    const id = await jobTo(later, 'slow');
    await kill();
    await expect
      .poll(async () => jsonOf(await call(`${fleet.url}/v1/jobs/${id}`, { method: 'GET' })))
      .toMatchObject({ status: 'completed' });
    expect(about(id)).toEqual([]);
    await fleet.addAdmin();
    await expect.poll(() => receiver.at(later)).toHaveLength(1);
    await expect.poll(() => receiver.at(underWay), patient).toHaveLength(2);
    const [first, second] = receiver.at(underWay);
    expect(second?.id).toBe(first?.id);
  }, 60_000);
});

describe('what needs attention', () => {
  test('includes a worker that was killed', async () => {
    await fleet.killWorkers();
    await expect.poll(() => attention('workers_silent', 'no_worker')).toHaveLength(1);
    await fleet.addWorker();
    await expect.poll(() => attention('workers_silent', 'no_worker')).toEqual([]);
  });

  test('has no parameters', async () => {
    const answer = await admin('GET', 'attention?limit=3');
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ code: 'invalid_parameter', param: 'limit' });
  });
});

test('no message was forged', () => {
  expect(receiver.messages.filter(({ type }) => type === 'forged')).toEqual([]);
});
