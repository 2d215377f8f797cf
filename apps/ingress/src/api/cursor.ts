import type { IncomingHttpHeaders } from 'node:http';
import { parseEntryId } from '@millrace/shared/domain/entry';
import type { EntryId } from '@millrace/shared/domain/entry';
import { apiError } from '../api-error.ts';

/** Reads `Last-Event-ID`; undefined without one. Throws a 400 if it is no entry id. */
export function readLastEventId(headers: IncomingHttpHeaders): EntryId | undefined {
  const value = headers['last-event-id'];
  // An EventSource that received no id sends an empty one.
  return value === undefined || value === '' ? undefined : parseCursor(value, 'Last-Event-ID');
}

/** Throws a 400 that names `param` if the text is no entry id. */
export function parseCursor(text: unknown, param: string): EntryId {
  const id = typeof text === 'string' ? parseEntryId(text) : undefined;
  if (id) return id;
  throw apiError('invalid_cursor', { param });
}
