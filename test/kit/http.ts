import { exchange } from './exchange.ts';
import type { Ended, Exchange, SendOptions } from './exchange.ts';
import { strictly } from './strict-event-stream.ts';

export type { Ended, Exchange, SendOptions } from './exchange.ts';

/**
 * One request, whose `ended` rejects if there was no response, or if an SDK could not read a plain stream,
 * which also fails the run.
 */
export const open = (url: string | URL, options: SendOptions = {}): Exchange =>
  exchange(url, options, (ended) => {
    if (ended.error) throw ended.error;
    return strictly(ended);
  });

/** The complete response. Rejects if there was no head. */
export const call = (url: string | URL, options: SendOptions = {}): Promise<Ended> =>
  open(url, options).ended;

export type OpenAiError = {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
};

/** The error object of a JSON error response; throws if it is none. */
export function errorOf({ headers, text }: Ended): OpenAiError {
  if (!headers['content-type']?.startsWith('application/json')) {
    throw new Error(`no JSON: ${headers['content-type']} ${text.slice(0, 200)}`);
  }
  const { error } = JSON.parse(text) as { error?: OpenAiError };
  if (typeof error?.message !== 'string') throw new Error(`no error object: ${text.slice(0, 200)}`);
  return error;
}

export const jsonOf = ({ text }: Pick<Ended, 'text'>): unknown => JSON.parse(text);
