import { setMembers } from '@millrace/shared/domain/json-text';
import type { IncomingHttpHeaders } from 'node:http';
import { errorOf } from '../api-error.ts';
import type { ClientApi, ParsedBody, Resolved } from './port.ts';

export type RequestText = {
  text: string;
  /** The same, parsed. */
  body: Record<string, unknown>;
  /** Members that its URL has, with JSON texts as values. */
  members?: Record<string, string> | undefined;
  /** Of HTTP only. */
  headers?: IncomingHttpHeaders;
};

/**
 * Reads a request of a client API, on every transport. `resolved`: what it refers to; the returned `body`, which the provider gets,
 * has it in place of the reference. Throws an ApiError.
 */
export function readRequest(
  api: ClientApi,
  { text, body, members, headers }: RequestText,
  resolved: Resolved | undefined,
): { parsed: ParsedBody; body: string } {
  const replaced = { ...members, ...resolved?.members };
  const asked = Object.keys(replaced).length > 0 ? withMembers(body, replaced) : body;
  const parsed = api.parse(asked, headers);
  if (parsed.kind === 'refused') throw errorOf(parsed);
  if (resolved) parsed.echo = { ...Object(parsed.echo), ...resolved.echo };
  const added = { ...replaced, ...parsed.members };
  return { parsed, body: Object.keys(added).length > 0 ? setMembers(text, added) : text };
}

/** An object with members whose values are JSON texts. */
const withMembers = (object: Record<string, unknown>, members: Record<string, string>) => ({
  ...object,
  ...Object.fromEntries(
    Object.entries(members).map(([name, text]) => [name, JSON.parse(text) as unknown]),
  ),
});
