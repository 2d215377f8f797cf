/*
 * The headers of answers that clients read. Pages of other origins may read them, too (cors.ts), and the OpenAPI document
 * describes them.
 */

const rateHeaders = ['requests', 'tokens'].flatMap((what): [string, string][] => [
  [`x-ratelimit-limit-${what}`, `The limit of the key, in ${what} per minute`],
  [`x-ratelimit-remaining-${what}`, `How many ${what} are left of it`],
  [`x-ratelimit-reset-${what}`, 'The time until the whole limit is free again, such as `1.2s`'],
]);

export const rateLimitHeaders: readonly string[] = rateHeaders.map(([name]) => name);

export const answerHeaders: Readonly<Record<string, string>> = {
  'x-request-id':
    'The id of the request, of its job and of its stream; of an error without a request, an id of its own',
  'x-millrace-served-by':
    'The provider and the model that are asked, as known when the head is sent',
  'x-millrace-attempts': 'How many attempts were made, as known when the head is sent',
  'idempotent-replayed':
    '`true`: the answer is that of an earlier call with the same `Idempotency-Key`',
  'retry-after': 'Seconds after which the request may succeed',
  'retry-after-ms': 'The same in milliseconds',
  ...Object.fromEntries(rateHeaders),
};
