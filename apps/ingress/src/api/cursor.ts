import type { IncomingHttpHeaders } from 'node:http';
import { parseEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { apiError } from '../api-error.ts';

/** `Last-Event-ID`; undefined without one. Throws a 400 on what is no entry id. */
export function readLastEventId(headers: IncomingHttpHeaders): EntryId | undefined {
  const value = headers['last-event-id'];
  // An EventSource that was sent no id has an empty one.
  return value === undefined || value === '' ? undefined : parseCursor(value, 'Last-Event-ID');
}

/** Throws a 400 that names `param` on what is no entry id. */
export function parseCursor(text: unknown, param: string): EntryId {
  const id = typeof text === 'string' ? parseEntryId(text) : undefined;
  if (id) return id;
  throw apiError('invalid_cursor', { param });
}
