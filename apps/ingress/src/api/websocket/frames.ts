import type { OpenAiError } from '@millrace/shared/domain/entry';
import { isJsonObject } from '@millrace/shared/domain/json';
import { memberText } from '@millrace/shared/domain/json-text';
import { apiError, withRequestId } from '../../api-error.ts';
import { readIdempotency } from '../../exchange/idempotency.ts';
import { readEndpoint } from '../client-apis.ts';
import {
  checkIdempotency,
  continuationOf,
  readDeadline,
  readMaxCost,
  readPriority,
} from '../headers.ts';
import { readInnerBody, readMetadata, wrongType } from '../json-body.ts';
import type { Resolved } from '../port.ts';
import { createFields, longestRef } from './schema.ts';

/** A frame that a client sent: a JSON object. */
export type Frame = Record<string, unknown>;

/** Parses a frame; throws an ApiError if it is not one. */
export function parseFrame(text: string): Frame {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    throw apiError('invalid_json', { what: 'frame' });
  }
  if (!isJsonObject(frame))
    throw apiError('invalid_request', { message: 'A frame must be a JSON object.' });
  return frame;
}

/** The id in a frame. Throws an ApiError if there is none. */
export function readId(frame: Frame): string {
  const { id } = frame;
  if (typeof id !== 'string' || id === '') throw wrongType('id', 'the id of a request', id);
  return id;
}

/**
 * Reads a `create` frame. `resolved`: what its request refers to. Throws an ApiError that names the field. The inner body is sent upstream byte for
 * byte.
 */
export function readCreate(frame: Frame, text: string, now: number, resolved?: Resolved) {
  for (const field of Object.keys(frame)) {
    if (createFields.has(field)) continue;
    throw apiError('unknown_parameter', { param: field.slice(0, 100) });
  }
  const { ref, endpoint, body, detached = false, metadata } = frame;
  if (ref !== undefined && typeof ref !== 'string') throw wrongType('ref', 'a string', ref);
  if (ref !== undefined && ref.length > longestRef) {
    throw apiError('invalid_request', {
      message: `'ref' is longer than ${longestRef} characters.`,
      param: 'ref',
    });
  }
  const api = readEndpoint(endpoint);
  if (typeof detached !== 'boolean') throw wrongType('detached', 'a boolean', detached);
  const inner = readInnerBody(api, body, text, resolved);
  return {
    ref,
    submission: {
      ...inner,
      reader: 'native' as const,
      attached: !detached,
      read: true,
      deadlineAt: readDeadline(frame['deadline'], now, 'deadline'),
      priority: readPriority(frame['priority'], 'priority'),
      continuation: continuationOf(frame['continuation'], 'continuation'),
      maxCost: readMaxCost(frame['max_cost'], 'max_cost'),
      metadata: readMetadata(metadata, text),
      idempotency: checkIdempotency(
        readIdempotency(
          frame['idempotency_key'],
          { route: '/v1/ws', text: memberText(text, 'body') ?? '' },
          'idempotency_key',
        ),
      ),
    },
  };
}

export const serverBusy = () => apiError('server_busy', { with: 'bodies' });

export const unknownType = (type: unknown) =>
  apiError('unknown_frame_type', {
    frameType: JSON.stringify(type ?? null).slice(0, 100),
    expected: 'auth, create, subscribe, unsubscribe, cancel or ping',
  });

/**
 * An error frame. It names the frame that it answers, if that was readable, and has `request_id` and `retry_after_ms` in
 * place of the HTTP headers.
 */
export function errorFrame(
  frame: Frame | undefined,
  error: OpenAiError,
  requestId: string,
  headers: Record<string, string> = {},
): string {
  const { ref, id } = frame ?? {};
  return JSON.stringify({
    type: 'error',
    ref: typeof ref === 'string' && ref.length <= longestRef ? ref : undefined,
    id: typeof id === 'string' && id.length <= longestRef ? id : undefined,
    error: { ...withRequestId(error, requestId), retry_after_ms: readRetryAfter(headers) },
  });
}

function readRetryAfter(headers: Record<string, string>): number | undefined {
  const { 'retry-after-ms': ms, 'retry-after': seconds } = headers;
  if (ms !== undefined) return Number(ms);
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
