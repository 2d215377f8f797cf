import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiError } from '../../api-error.ts';
import { readLastEventId } from '../cursor.ts';
import {
  readContinuation,
  readDeadline,
  readEventIds,
  readIdempotencyKey,
  readMaxCost,
  readOnDisconnect,
  readPriority,
} from '../headers.ts';
import { readJob } from '../jobs/routes.ts';
import {
  continuation,
  deadline,
  eventIds,
  idempotencyKey,
  lastEventId,
  maxCost,
  onDisconnect,
  priority,
} from '../request-headers.ts';
import { readCreate } from '../websocket/frames.ts';
import { buildDocument } from './document.ts';
import type { Parameter } from './operation.ts';

/*
 * Requests are read by hand, for the sake of their error messages. Here the schemas of the document and the readers judge the same
 * requests: what a reader accepts, its schema accepts, and what a reader refuses, its schema refuses, save for a few rules that
 * a schema cannot express.
 */

const ajv = new Ajv2020({ strict: false });
ajv.addSchema({ ...buildDocument([], '0'), $id: 'document' });
const named = (name: string) => ajv.compile({ $ref: `document#/components/schemas/${name}` });

const now = Date.UTC(2026, 0, 1);

/** Undefined: the reader accepts. */
function refusalOf(read: () => unknown): ApiError | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

const body = { model: 'm', messages: [{ role: 'user', content: 'x' }] };
const deadlines = ['30s', '1.5h', '2030-01-31T12:00:00Z', 'soon', '30', '', 5, null];
const costs = [0, 0.05, 1e6, 1e6 + 1, -1, '0.05', '1e-3', '1E2', '.5', '-1', 'x', null, true];

/** Values of members, some of them wrong. */
const common = {
  body: [
    body,
    { ...body, more: 1 },
    { model: '' },
    { model: 'm' },
    { ...body, messages: [] },
    [],
    null,
  ],
  endpoint: ['/v1/chat/completions', '/v1/other', null],
  priority: ['high', 'normal', 'low', 'highest', null, 1],
  deadline: deadlines,
  max_cost: costs,
  metadata: [{}, { a: 1 }, [], null, 'x'],
  another: [1],
};

const requests = (members: Record<string, readonly unknown[]>) =>
  fc.record(
    Object.fromEntries(
      Object.entries(members).map(([name, values]) => [name, fc.constantFrom(...values)]),
    ),
    { requiredKeys: [] },
  );

/** Each schema is held against its reader with any members, and with one member beside a good body. */
function expectSameVerdicts(
  name: string,
  members: Record<string, readonly unknown[]>,
  read: (value: Record<string, unknown>) => unknown,
  start: Record<string, unknown> = {},
): void {
  const isValid = named(name);
  const alone = Object.entries(members).flatMap(([member, values]) =>
    values.map((value) => ({ ...start, body, [member]: value })),
  );
  for (const value of alone) expectAgreement(value);
  fc.assert(
    fc.property(requests(members), (value) => expectAgreement({ ...start, ...value })),
    { numRuns: 200 },
  );

  function expectAgreement(value: Record<string, unknown>): void {
    const text = JSON.stringify(value);
    const refusal = refusalOf(() => read(JSON.parse(text) as Record<string, unknown>));
    expect([text, isValid(JSON.parse(text)), refusal?.message]).toEqual([
      text,
      refusal === undefined,
      refusal?.message,
    ]);
  }
}

const webhooks = { allowPrivate: true } as Parameters<typeof readJob>[2];

test('the schema of a job accepts what its reader accepts, and nothing else', () => {
  const members = {
    ...common,
    webhook: [{ url: 'https://a.example/' }, { url: 5 }, { other: 1 }, 'x', null],
  };
  expectSameVerdicts('JobRequest', members, (job) => readJob(job, JSON.stringify(job), webhooks));
});

test('the schema of a create frame accepts what its reader accepts, and nothing else', () => {
  const members = {
    ...common,
    ref: ['a', 'a'.repeat(200), 'a'.repeat(201), 5],
    detached: [true, false, 'true', null],
    continuation: ['auto', 'strict', 'off', 'always', 'on', null],
    idempotency_key: ['a', '', 'a\n', 'ä', 5, null, 'a'.repeat(256)],
  };
  expectSameVerdicts(
    'CreateFrame',
    members,
    (frame) => readCreate(frame, JSON.stringify(frame), now),
    {
      type: 'create',
    },
  );
});

describe('the schema of a header accepts what its reader accepts, and nothing else:', () => {
  const readKey = (value: string) => {
    const headers = { 'idempotency-key': value };
    const headersDistinct = { 'idempotency-key': [value] };
    return readIdempotencyKey({ headers, headersDistinct }, { route: '', text: '' });
  };
  const texts = (values: readonly unknown[]) => values.filter((one) => typeof one === 'string');
  const cases: [Parameter, readonly string[], (value: string) => unknown][] = [
    [priority, ['high', 'low', 'HIGH', ''], (value) => readPriority(value)],
    [deadline, texts(deadlines), (value) => readDeadline(value, now)],
    [maxCost, texts(costs), (value) => readMaxCost(value)],
    [
      continuation,
      ['auto', 'always', 'x'],
      (value) => readContinuation({ 'x-millrace-continuation': value }),
    ],
    [
      onDisconnect,
      ['keep', 'cancel', 'x', ''],
      (value) => readOnDisconnect({ 'x-millrace-on-disconnect': value }),
    ],
    [eventIds, ['on', 'off', 'true'], (value) => readEventIds({ 'x-millrace-event-ids': value })],
    [
      lastEventId,
      ['1-17', '', '0-0', '1', '01-1', '1-', 'x'],
      (value) => readLastEventId({ 'last-event-id': value }),
    ],
    [idempotencyKey, ['a', '', 'a'.repeat(255), 'a'.repeat(256), 'a\u0001'], readKey],
  ];

  test.each(cases)('$name', ({ schema }, values, read) => {
    const isValid = ajv.compile(schema);
    for (const value of values) {
      expect([value, isValid(value)]).toEqual([value, refusalOf(() => read(value)) === undefined]);
    }
  });
});
