import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ask, askWhole, cancelJob, createJob, requestId } from '../kit/client.ts';
import { startFleet } from '../kit/fleet.ts';
import type { Fleet } from '../kit/fleet.ts';
import { chunks, expectWhole } from '../kit/judge.ts';
import { getLedger, rowOf } from '../kit/ledger.ts';
import type { LedgerRequest } from '../kit/ledger.ts';
import { expectedText } from '../../apps/simulator/src/index.ts';

// The ledger as operators see it, over an ingress. What it must not lose is in test/fault/ledger-kills.test.ts.

let fleet: Fleet;
const price = { input: 1, output: 10 };
const slow = 'healthy:tokens=2000,pace=50';

beforeAll(async () => {
  fleet = await startFleet({
    admin: true,
    models: {
      good: { targets: [{ provider: 'primary', model: 'healthy:tokens=20', price }] },
      unpriced: 'healthy:tokens=5',
      bad: 's04',
      slow: { targets: [{ provider: 'primary', model: slow, price }] },
      cut: {
        targets: [
          { provider: 'primary', model: 'cut:tokens=20,after=8', price },
          { provider: 'backup', model: 'prefill:tokens=20', prefill: true, price },
        ],
      },
    },
  });
});
afterAll(() => fleet?.close());
beforeEach(() => {
  fleet.primary.reset();
  fleet.backup.reset();
});

/** The longest time from a text to the first of the next attempt, by the times of the log. */
async function gapInLog(id: string): Promise<number> {
  type Item = { type: string; at: string; data: { choices?: { delta?: { content?: string } }[] } };
  const { data } = await getLedger<{ data: Item[] }>(fleet, `requests/${id}/log?limit=10000`);
  let [last, gap, isBehindSeam] = [Number.NaN, 0, false];
  for (const { type, at, data: chunk } of data) {
    if (type === 'seam') isBehindSeam = true;
    if (type !== 'chunk' || !chunk.choices?.[0]?.delta?.content) continue;
    if (isBehindSeam) gap = Math.max(gap, Date.parse(at) - last);
    [last, isBehindSeam] = [Date.parse(at), false];
  }
  return gap;
}

test('an answered stream has its tokens, its user and its cost', async () => {
  const stream = ask(fleet.url, 'good', { body: { user: 'ada', metadata: { session_id: 's-1' } } });
  await expectWhole(stream, expectedText({ tokens: 20 }));
  const row = await rowOf(fleet, await requestId(stream), 1);
  const { input_tokens: input } = row.usage;
  expect(input).toBeGreaterThan(0);
  expect(row).toMatchObject({
    status: 'completed',
    user: 'ada',
    session: 's-1',
    usage: { output_tokens: 20, estimated: false },
    cost: (input * 1 + 20 * 10) / 1e6,
  });
});

test('an answer of unknown price has a cost of null', async () => {
  const whole = askWhole(fleet.url, 'unpriced');
  await whole.ended;
  expect(await rowOf(fleet, await requestId(whole), 1)).toMatchObject({
    status: 'completed',
    cost: null,
  });
});

test('a request that failed says why, and its attempts have the words of the provider', async () => {
  const stream = ask(fleet.url, 'bad');
  await stream.ended;
  const row = await rowOf<LedgerRequest & { error: { code: string } }>(
    fleet,
    await requestId(stream),
    3,
  );
  expect(row.status).toBe('failed');
  expect(row.error.code).toBe('overloaded');
  expect(row.cost).toBe(0);
});

test('a stream that another target continued has a rescue, its pause, and the cost of both', async () => {
  const stream = ask(fleet.url, 'cut');
  await expectWhole(stream, expectedText({ tokens: 20 }));
  const row = await rowOf(fleet, await requestId(stream), 2);
  expect(row).toMatchObject({
    status: 'completed',
    rescues: 1,
    attempts: [{ mode: 'start' }, { mode: 'continue', outcome: 'completed' }],
  });
  expect(row.max_gap_ms).toBe(await gapInLog(row.id));
  const sum = row.attempts.reduce((total, one) => total + one.usage.output_tokens, 0);
  expect(row.usage.output_tokens).toBe(sum);
});

test('a stream whose worker was killed has the first token and the gap that its reader saw', async () => {
  const stream = ask(fleet.url, 'slow');
  await stream.until(chunks(5));
  const id = await requestId(stream);
  await fleet.killWorkers();
  await fleet.addWorker();
  await expect.poll(() => fleet.primary.requests.length, { timeout: 10_000 }).toBe(2);
  fleet.hurry();
  await expectWhole(stream, expectedText({ tokens: 2000 }));
  const gap = await gapInLog(id);
  const open = await getLedger<LedgerRequest>(fleet, `requests/${id}`);
  const row = await rowOf(fleet, id, 2);
  expect([open, row]).toMatchObject([
    { rescues: 1, max_gap_ms: gap },
    { rescues: 1, max_gap_ms: gap },
  ]);
  expect(row.first_token_ms).toBeGreaterThan(0);
});

test('a stream whose client leaves has the tokens that were made until then, estimated', async () => {
  const stream = ask(fleet.url, 'slow');
  await stream.until(chunks(5));
  const id = await requestId(stream);
  stream.leave();
  const row = await rowOf(fleet, id, 1);
  expect(row).toMatchObject({
    status: 'cancelled',
    usage: { estimated: true },
    attempts: [{ outcome: 'cancelled' }],
  });
  expect(row.usage.output_tokens).toBeGreaterThanOrEqual(4);
  expect(row.cost).toBeGreaterThan(0);
});

test('an error of the control plane names the answer that has it', async () => {
  for (const path of ['requests?limit=x', 'nothing', 'queues/nothing']) {
    const answer = await fetch(`${fleet.url}/admin/${path}`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    const { error } = (await answer.json()) as { error: { request_id: string } };
    expect(error.request_id).toMatch(/^req_/);
    expect(error.request_id).toBe(answer.headers.get('x-request-id'));
  }
});

test('a response that is deleted while it runs has the tokens of its attempt', async () => {
  const model = 'slow';
  const headers = { 'content-type': 'application/json' };
  const url = `${fleet.url}/v1/responses`;
  const body = JSON.stringify({ model, input: 'hello', stream: true });
  const answer = await fetch(url, { method: 'POST', headers, body });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('response.output_text.delta')) text += (await reader?.read())?.value ?? '';
  const id = answer.headers.get('x-request-id') ?? '';
  const own = `${url}/${id.replace('req_', 'resp_')}`;
  expect((await fetch(own, { method: 'DELETE' })).status).toBe(200);
  expect((await fetch(own)).status).toBe(404);
  const row = await rowOf(fleet, id, 1);
  expect(row).toMatchObject({ status: 'cancelled', attempts: [{ outcome: 'cancelled' }] });
  expect(row.usage.output_tokens).toBeGreaterThan(0);
  await reader?.cancel();
});

test('a job that is cancelled is in the ledger once', async () => {
  const id = await createJob(fleet.url, 'slow');
  await expect.poll(() => fleet.primary.requests.length).toBe(1);
  await cancelJob(fleet.url, id);
  expect(await rowOf(fleet, id, 1)).toMatchObject({ status: 'cancelled' });
  const { data } = await getLedger<{ data: LedgerRequest[] }>(fleet, 'requests?model=slow');
  expect(data.filter((row) => row.id === id)).toHaveLength(1);
  expect(await getLedger(fleet, 'ledger')).toMatchObject({
    dropped: 0,
    rejected: 0,
    problem: null,
  });
});

test('the admin pages of an ingress pass on what the control plane serves, and its errors', async () => {
  const answer = await fetch(`${fleet.url}/admin/usage?group_by=shoe`);
  const head = await fetch(`${fleet.url}/admin/requests`, { method: 'HEAD' });
  expect(head.status).toBe(404);
  expect(answer.status).toBe(400);
  expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
  expect(await answer.json()).toMatchObject({ error: { param: 'group_by' } });
  const unknown = await fetch(`${fleet.url}/admin/nope`);
  expect(unknown.status).toBe(404);
});

test('without a control plane the admin pages say so, and streams are served', async () => {
  const [admin] = fleet.admins.splice(0);
  await admin?.stop('SIGTERM');
  const answer = await fetch(`${fleet.url}/admin/usage`);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ error: { code: 'no_control_plane' } });
  const stream = ask(fleet.url, 'good');
  await expectWhole(stream, expectedText({ tokens: 20 }));
  await fleet.addAdmin();
  // It has what ended meanwhile.
  expect(await rowOf(fleet, await requestId(stream), 1)).toMatchObject({ status: 'completed' });
});
