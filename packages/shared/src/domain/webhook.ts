import type { Terminal } from './entry.ts';
import type { RequestMeta } from './request.ts';

/* Webhooks: messages to URLs of clients and operators, after the Standard Webhooks specification. */

export const webhookEvents = [
  'job.completed',
  'job.failed',
  'job.cancelled',
  'alert.fired',
  'alert.resolved',
] as const;
export type WebhookEvent = (typeof webhookEvents)[number];

/** What the script that ends a request with a webhook writes for the control plane. */
export type EndedJob = { meta: RequestMeta; end: Terminal };

/**
 * Most ended jobs of a shard that wait for a control plane: at 2 KB each, 10 MB of Redis; where the operator's URL
 * gets the ends of all jobs, up to 64 Ki characters of metadata come to each. Later ones are counted, and sent nowhere.
 */
export const maxWebhookBacklog = 5000;

/** Bytes of the JSON of a job's metadata that a message carries. */
export const maxMetadataBytes = 4096;

const maxUrlChars = 2048;

/**
 * What was expected of the URL of a webhook; undefined for one that may be used. Its host is checked when a connection is made,
 * because a name can get another address at any time.
 */
export function webhookUrlProblem(text: unknown, allowPrivate: boolean): string | undefined {
  const scheme = allowPrivate ? 'an http or https URL' : 'an https URL';
  const expected = `${scheme} of at most ${maxUrlChars} characters, without login and fragment`;
  if (typeof text !== 'string' || text.length > maxUrlChars || !URL.canParse(text)) return expected;
  const { protocol, username, password, hash } = new URL(text);
  const isKnown = protocol === 'https:' || (allowPrivate && protocol === 'http:');
  return isKnown && username === '' && password === '' && hash === '' ? undefined : expected;
}
