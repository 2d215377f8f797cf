import type { RequestMeta } from '@millrace/shared/domain/request';
import { webhookEvents } from '@millrace/shared/domain/webhook';
import type { EndedJob } from '@millrace/shared/domain/webhook';
import { expect, test } from 'vitest';
import { alertDeliveries, jobDeliveries } from './events.ts';

const at = Date.parse('2026-11-30T12:00:00Z');
const id = `req_0_${'0'.repeat(33)}`;
const fleet = { url: 'https://ops.example.com/', events: webhookEvents };

const ended = (webhook: RequestMeta['webhook'], end?: EndedJob['end']): EndedJob => ({
  meta: {
    id,
    endpoint: '/v1/chat/completions',
    model: 'm',
    stream: true,
    reader: 'native',
    includeUsage: false,
    attached: false,
    createdAt: at - 5000,
    webhook,
  },
  end: end ?? { kind: 'cancelled', data: { reason: 'r', at } },
});

const made = (job: EndedJob, hook: Parameters<typeof alertDeliveries>[1] = fleet) =>
  jobDeliveries(job, { fleet: hook, retentionMs: 60_000 });

test('the end of a job goes to its own URL whatever the fleet wants, and to that of the fleet by its events', () => {
  const url = 'https://client.example.com/';
  const ids = (...asked: Parameters<typeof made>) => made(...asked).map((one) => one.id);
  expect(ids(ended({ url }))).toEqual([`msg_${id}`, `msg_${id}_fleet`]);
  expect(ids(ended({ url }), { ...fleet, events: ['job.failed'] })).toEqual([`msg_${id}`]);
  expect(ids(ended({}), { ...fleet, events: ['job.cancelled'] })).toEqual([`msg_${id}_fleet`]);
  expect(ids(ended({ url: fleet.url }))).toEqual([`msg_${id}`]);
  expect(ids(ended(undefined))).toEqual([]);
});

test('an event is the same bytes whenever it is made', () => {
  const error = { message: 'no', type: 'server_error', param: null, code: 'x' };
  const job = ended({}, { kind: 'failed', data: { error, httpStatus: 500, at } });
  expect(made(job)).toEqual(made(job));
  expect(JSON.parse(made(job)[0]?.body ?? '')).toEqual({
    type: 'job.failed',
    timestamp: '2026-11-30T12:00:00.000Z',
    data: {
      id,
      status: 'failed',
      created_at: at / 1000 - 5,
      finished_at: at / 1000,
      endpoint: '/v1/chat/completions',
      model: 'm',
      finish_reason: null,
      attempts: null,
      usage: null,
      error,
      metadata: null,
      result_url: `/v1/jobs/${id}`,
      result_expires_at: at / 1000 + 60,
    },
  });
});

test('an alert has one id for its beginning and another for its end', () => {
  const condition = {
    code: 'target_open',
    subject: 'p/m:x',
    severity: 'warning',
    title: 't',
    detail: 'd',
    link: '/admin',
  };
  const fired = alertDeliveries({ kind: 'fired', condition, firstAt: at, firedAt: at }, fleet);
  const resolved = alertDeliveries(
    { kind: 'resolved', condition, firstAt: at, firedAt: at, resolvedAt: at + 9000 },
    fleet,
  );
  expect(fired[0]?.id).toMatch(/^msg_alert_[0-9a-f]{16}_\d+_fired$/);
  expect(resolved[0]?.id).toBe(fired[0]?.id.replace('fired', 'resolved'));
  expect(JSON.parse(resolved[0]?.body ?? '')).toMatchObject({
    type: 'alert.resolved',
    data: { id: 'target_open:p/m:x', resolved_at: '2026-11-30T12:00:09.000Z' },
  });
  expect(
    alertDeliveries({ kind: 'fired', condition, firstAt: at, firedAt: at }, undefined),
  ).toEqual([]);
});

test('metadata of more than 4 KiB is left out of the message, which says so', () => {
  const withMetadata = (metadata: Record<string, string>) => {
    const job = ended({});
    const [delivery] = made({ ...job, meta: { ...job.meta, metadata } });
    return (JSON.parse(delivery?.body ?? '') as { data: unknown }).data;
  };
  expect(withMetadata({ order: '42' })).toMatchObject({ metadata: { order: '42' } });
  expect(withMetadata({ order: 'ü'.repeat(2048) })).toMatchObject({
    metadata: null,
    metadata_omitted: true,
  });
});
