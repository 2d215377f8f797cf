import { isJsonObject } from '@millrace/shared/domain/json';
import type { JsonObject } from '@millrace/shared/domain/json';
import { InvalidRequest } from '../../client-port.ts';
import type { InnerRequest } from '../../client-port.ts';
import { Inexpressible } from '../../inexpressible.ts';

/**
 * The body of a completion request in the inner form: its prompt is the only message, of the user. All other members stay,
 * but those that a chat completion has in another form.
 * @throws {InvalidRequest}
 */
export function toInner(body: JsonObject): InnerRequest {
  const { model, prompt, suffix, echo, best_of: bestOf, logprobs, ...others } = body;
  if (typeof model !== 'string' || model === '') {
    throw new InvalidRequest('model', 'You must provide a model parameter.');
  }
  checkStream(body);
  refuseUnserved({ echo, bestOf, n: body['n'] });
  const lost = new Inexpressible("OpenAI's Completions API");
  if (suffix !== undefined && suffix !== null && suffix !== '') lost.add('suffix', "'suffix'");
  const inner = {
    model,
    ...others,
    // Behind the others, among which a client's own `messages` may be.
    messages: [{ role: 'user', content: promptOf(prompt) }],
    ...innerLogprobs(logprobs),
  };
  return { body: JSON.stringify(inner), inexpressible: lost.first };
}

/** A list with one text is that text, as clients send it. */
export function promptOf(prompt: unknown): string {
  const [only, ...more] = Array.isArray(prompt) ? (prompt as unknown[]) : [prompt];
  if (typeof only === 'string' && more.length === 0) return only;
  throw new InvalidRequest(
    'prompt',
    "'prompt' must be one text here. Several prompts in one request, and tokens, are not served.",
  );
}

function checkStream({ stream, stream_options: options }: JsonObject): void {
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw new InvalidRequest('stream', "'stream' must be a boolean.");
  }
  if (options === undefined || options === null) return;
  if (!isJsonObject(options) || stream !== true) {
    throw new InvalidRequest(
      'stream_options',
      "'stream_options' must be an object, and is only allowed when 'stream' is enabled.",
    );
  }
}

/** A prompt in front of the answer could not be told from it, and of several candidates only one is an answer. */
function refuseUnserved({ echo, bestOf, n }: { echo: unknown; bestOf: unknown; n: unknown }): void {
  if (echo !== undefined && echo !== null && echo !== false) {
    throw new InvalidRequest('echo', "'echo' is not served.");
  }
  if (bestOf !== undefined && bestOf !== null && bestOf !== (n ?? 1)) {
    throw new InvalidRequest('best_of', "'best_of' is not served, unless it equals 'n'.");
  }
}

/** A number here, and two members in a chat completion. */
function innerLogprobs(logprobs: unknown): JsonObject {
  if (logprobs === undefined || logprobs === null || logprobs === false) return {};
  if (typeof logprobs !== 'number' || !Number.isInteger(logprobs) || logprobs < 0) {
    throw new InvalidRequest('logprobs', "'logprobs' must be a whole number.");
  }
  return { logprobs: true, ...(logprobs > 0 && { top_logprobs: logprobs }) };
}
