import { maxWaitingRecords } from '@millrace/shared/domain/debug-record';
import { frameRecord, readRecord } from '@millrace/shared/store/debug-log/framing';
import type { RawRecord } from '@millrace/shared/store/debug-log/framing';
import { createRecordShipper, fullMs } from '@millrace/shared/store/debug-log/redis-debug-log';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startRedis } from '../kit/redis.ts';
import type { TestRedis } from '../kit/redis.ts';
import { openRedisLog } from './log-adapters.ts';

// Debug records on their way to the control plane, as a worker sends them.

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server?.close());

let opened: ReturnType<typeof openRedisLog>;
let clock: number;
let made: number;
beforeEach(async () => {
  opened = openRedisLog(server);
  await opened.redis.ping();
  clock = 0;
  made = 0;
});

const openShipper = () =>
  createRecordShipper({ redis: opened.redis, keys: opened.keys, now: () => clock });

function make(): RawRecord {
  made += 1;
  const head = { request: `req_${made}`, sent: { path: '/', headers: {}, bytes: 0 } };
  return { head: head as unknown as RawRecord['head'], bytes: Buffer.alloc(0) };
}

const waiting = () => opened.redis.xlen(opened.keys.debugLog());
const droppedInRedis = async () =>
  Number(Object.values(await opened.redis.hgetall(opened.keys.debugState()))[0] ?? 0);

async function fill(shipper: ReturnType<typeof openShipper>): Promise<void> {
  for (let i = 0; i < maxWaitingRecords; i += 1) expect(await shipper.ship(make)).toBe(true);
}

test('while too many records wait, a worker drops further ones without making them, for a second', async () => {
  const shipper = openShipper();
  await fill(shipper);
  expect(await shipper.ship(make)).toBe(false);
  const madeBefore = made;
  clock += fullMs - 1;
  expect(await shipper.ship(make)).toBe(false);
  expect(made).toBe(madeBefore);
  await opened.redis.del(opened.keys.debugLog());
  clock += 1;
  expect(await shipper.ship(make)).toBe(true);
  expect(await waiting()).toBe(1);
  expect([shipper.counts.dropped, await droppedInRedis()]).toEqual([2, 2]);
});

test('a compressed answer is read as base64, each piece of it', () => {
  const raw = make();
  const pieces = [Buffer.from([0x1f, 0x8b, 0xff]), Buffer.from([0xfe])];
  const answer = {
    status: 200,
    head_ms: 1,
    headers: { 'content-encoding': 'gzip' },
    pieces: pieces.map((piece) => [1, piece.length] as const),
  };
  const record = readRecord(
    frameRecord({ head: { ...raw.head, answer }, bytes: Buffer.concat(pieces) }),
  );
  expect(record.answer?.encoding).toBe('base64');
  const texts = record.answer?.events.map(({ text }) => text);
  expect(texts).toEqual(pieces.map((piece) => piece.toString('base64')));
});
