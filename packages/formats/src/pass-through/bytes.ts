import { readJsonObject } from '@millrace/shared/domain/json';
import { parseDataUrl } from '../data-url.ts';

/*
 * Answers that are no JSON (audio, subtitles) as JSON, because a log has JSON, and readers of jobs and WebSockets get it: an object with
 * the bytes as a data URL.
 */

/** `type`: the media type; empty if it is unknown. */
export const bodyOf = (bytes: Buffer, type: string): string =>
  JSON.stringify({
    data: `data:${type || 'application/octet-stream'};base64,${bytes.toString('base64')}`,
  });

const harmless = /^[\w.+-]+\/[\w.+-]+(; ?charset=[\w-]+)?$/;
/** Types with which a browser would run what a provider sent, as a page of this server. */
const active = /html|xml|svg|script/i;

const start = '{"data":"data:';

/** Undefined: the answer is JSON. */
export function bytesIn(body: string): { contentType: string; bytes: Buffer } | undefined {
  const data = body.startsWith(start) ? readJsonObject(body)?.['data'] : undefined;
  const url = typeof data === 'string' ? parseDataUrl(data) : undefined;
  if (typeof data !== 'string' || !url) return undefined;
  const type = data.slice('data:'.length, data.lastIndexOf(';', data.indexOf(',')));
  return { contentType: shownType(type), bytes: Buffer.from(url.base64, 'base64') };
}

/** The type with which a client gets bytes of a provider. */
export const shownType = (type: string): string =>
  harmless.test(type) && !active.test(type) ? type : 'application/octet-stream';
