import { EventEmitter } from 'node:events';
import { encodeEntry } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { createMemoryLog } from '@millrace/shared/store/stream-log/memory-log';
import { expect, it } from 'vitest';
import { createSummaryCache, emptySummary, addLine } from './summary.ts';
import { createJobViews, maxViews } from './view.ts';
import type { Client } from './view.ts';
import { idle, startRequest } from '../../delivery/relay-steps.ts';

const chunk = (content: string) =>
  `c${JSON.stringify({ id: 'x', model: 'm', created: 1, choices: [{ index: 0, delta: { content } }] })}`;
const attempt = (number: number) =>
  encodeEntry({
    kind: 'attempt',
    data: { run: 1, attempt: number, provider: 'p', model: 'm', mode: 'start', at: 1000 },
  });

const createClient = () => Object.assign(new EventEmitter(), { destroyed: false });

/** Views of a memory log, and the places that were read from. */
function createRig(maxResultBytes = 10_000_000) {
  const memory = createMemoryLog();
  const { log } = memory;
  const readFrom: EntryId[] = [];
  const gate = { open: Promise.resolve() };
  const views = createJobViews({
    log: {
      async read(id, after, maxBytes) {
        readFrom.push(after);
        await gate.open;
        return log.read(id, after, maxBytes);
      },
    },
    queue: { position: async () => undefined },
    queuePositions: { estimate: () => undefined },
    maxResultBytes,
  });
  const describe = async (id: string): Promise<Described> => {
    const described = await log.describe(id);
    if (!described) throw new Error('no such request');
    return described;
  };
  const view = async (id: string, client: Client = createClient()) =>
    JSON.parse(await views.view(await describe(id), client)) as Record<string, unknown>;
  return { log, memory, readFrom, gate, views, describe, view };
}

it('a view of a request under way reads only the lines since the last view', async () => {
  const { memory, readFrom, view, views } = createRig();
  const writer = await startRequest(memory);
  await writer.seal();
  await writer.write(attempt(1));
  for (let i = 0; i < 100; i++) await writer.write(chunk('x'.repeat(10_000)));
  expect(await view(writer.id)).toMatchObject({
    status: 'running',
    attempts: [{ attempt: 1, outcome: 'running' }],
  });
  expect(readFrom.length).toBeGreaterThan(5);
  readFrom.length = 0;
  await writer.write(chunk('more'), attempt(2));
  expect((await view(writer.id))['attempts']).toHaveLength(2);
  expect(readFrom).toEqual([expect.objectContaining({ run: 1, seq: 101 })]);
  expect(views.remembered).toBeGreaterThan(0);
  await writer.end();
  expect(await view(writer.id)).toMatchObject({
    status: 'completed',
    result: { choices: [{ message: { content: `${'x'.repeat(1_000_000)}more` } }] },
  });
});

it('a view omits an answer above the bound, which can be read as events', async () => {
  const { memory, view } = createRig(1000);
  const writer = await startRequest(memory);
  await writer.seal();
  await writer.write(...Array.from({ length: 20 }, () => chunk('x'.repeat(60))));
  await writer.end();
  expect(await view(writer.id)).toMatchObject({ result: null, result_omitted: 'too_large' });
});

it('a view starts over if Redis has lost what its summary includes', async () => {
  const { memory, view } = createRig();
  const writer = await startRequest(memory);
  await writer.seal();
  await writer.write(attempt(1));
  const goBack = memory.snapshot();
  await writer.write(attempt(2));
  expect((await view(writer.id))['attempts']).toHaveLength(2);
  goBack();
  await writer.seal();
  await writer.write(attempt(3));
  expect((await view(writer.id))['attempts']).toMatchObject([{ attempt: 1 }, { attempt: 3 }]);
});

it('a view is abandoned when its client leaves', async () => {
  const { memory, readFrom, gate, views, describe } = createRig();
  const writer = await startRequest(memory);
  await writer.seal();
  for (let i = 0; i < 50; i++) await writer.write(chunk('x'.repeat(10_000)));
  await writer.end();
  const open = Promise.withResolvers<void>();
  gate.open = open.promise;
  const client = createClient();
  const made = views.view(await describe(writer.id), client);
  const refused = made.catch((error: unknown) => error);
  await idle();
  client.destroyed = true;
  client.emit('close');
  open.resolve();
  expect(await refused).toMatchObject({ status: 499 });
  await idle();
  expect(readFrom).toHaveLength(1);
  expect([views.size, views.held]).toEqual([0, 0]);
});

it('a view is refused while too many are being made, or wait for their readers', async () => {
  const { memory, gate, views, describe } = createRig(1000);
  const writer = await startRequest(memory);
  await writer.seal();
  await writer.write(encodeEntry({ kind: 'result', data: { contentType: '', body: big } }));
  await writer.end();
  const described = await describe(writer.id);
  const busy = { status: 503, error: { code: 'server_busy' } };

  const open = Promise.withResolvers<void>();
  gate.open = open.promise;
  const clients = Array.from({ length: maxViews }, createClient);
  const all = clients.map((client) => views.view(described, client));
  expect(views.size).toBe(maxViews);
  await expect(views.view(described, createClient())).rejects.toMatchObject(busy);
  open.resolve();
  await Promise.all(all);
  expect(views.size).toBe(0);

  expect(views.held).toBeGreaterThan(maxViews * 900);
  await expect(views.view(described, createClient())).rejects.toMatchObject(busy);
  for (const client of clients) client.emit('close');
  expect(views.held).toBe(0);
  await views.view(described, createClient());
});

const big = JSON.stringify({ text: 'x'.repeat(900) });

it('the cache keeps the newest summaries up to its bound', () => {
  const summaries = createSummaryCache(1000);
  for (let i = 0; i < 10; i++) {
    const summary = emptySummary();
    addLine(summary, { run: 1, seq: 1, text: attempt(i) });
    summaries.put(`req_${i}`, summary);
  }
  expect(summaries.held).toBeLessThanOrEqual(1000);
  expect(summaries.get('req_0').attempts).toHaveLength(0);
  expect(summaries.get('req_9').attempts).toHaveLength(1);
  summaries.get('req_9').attempts.length = 0;
  expect(summaries.get('req_9').attempts).toHaveLength(1);
  for (let i = 0; i < 10; i++) summaries.delete(`req_${i}`);
  expect(summaries.held).toBe(0);
});
