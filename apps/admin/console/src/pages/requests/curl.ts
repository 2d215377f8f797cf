import type { RequestView } from '../../api/types.ts';

/* A request as a command for a shell. Everything in it is quoted: a model's name may hold any character. */

/** One call of the debug log, as far as this needs it. */
export type SentCall = { started_at: number; sent: { path: string; body: string } };

export type CurlCommand = {
  text: string;
  /** What is not as the client sent it. */
  notes: readonly string[];
};

const unknownContent = 'PUT YOUR MESSAGE HERE';

/** `origin`: of this ingress. `calls`: what the debug log has of it. */
export function curlOf(
  request: Pick<RequestView, 'api' | 'model' | 'stream' | 'key'>,
  origin: string,
  calls: readonly SentCall[],
): CurlCommand {
  const { api, model, stream, key } = request;
  const sent = bodyIn(calls);
  const body = sent
    ? { ...sent, model, stream }
    : { model, stream, messages: [{ role: 'user', content: unknownContent }] };
  const lines = [
    `curl ${stream ? '-N ' : ''}${quoted(origin + api)}`,
    `-H ${quoted('content-type: application/json')}`,
    // In double quotes, so that the shell puts the key in.
    ...(key === null ? [] : ['-H "authorization: Bearer $MILLRACE_API_KEY"']),
    `-d ${quoted(JSON.stringify(body))}`,
  ];
  const notes = [
    sent
      ? 'The body is from the debug log: what Millrace sent to the provider at its first attempt, with the model that the client asked for.'
      : 'Millrace keeps no bodies of requests: put the messages in. A debug log would have them.',
    ...(key === null ? [] : [`Set MILLRACE_API_KEY to a secret of the key ${key}.`]),
  ];
  return { text: lines.join(' \\\n  '), notes };
}

/** The body of the first call, if it has the form that clients of this API send. */
function bodyIn(calls: readonly SentCall[]): Record<string, unknown> | undefined {
  const [first] = calls.toSorted((one, other) => one.started_at - other.started_at);
  if (!first || !first.sent.path.endsWith('/chat/completions')) return undefined;
  try {
    const body: unknown = JSON.parse(first.sent.body);
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
    return body as Record<string, unknown>;
  } catch {
    // A record that was too large is cut.
    return undefined;
  }
}

/** A text as one word of a POSIX shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
