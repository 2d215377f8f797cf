import { useCallback, useEffect, useState } from 'preact/hooks';
import { ApiFailure } from './client.ts';
import { clientKey } from './client-key.ts';
import { toFailure } from './use-poll.ts';

/*
 * Calls of `/v1`, which the console makes as a client would: with the API key that the operator typed, and without the operator's
 * session, because an operator may see every request but make none.
 */

export type V1Options = {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** The call outlives the page. */
  keepalive?: boolean;
};

/** @throws ApiFailure if the answer is an error; code `unreachable` if none came */
export async function fetchV1(path: string, options: V1Options = {}): Promise<Response> {
  const { method = 'GET', body, headers, signal, keepalive = false } = options;
  const response = await fetch(`/v1/${path}`, {
    method,
    headers: {
      ...(clientKey.value === '' ? {} : { authorization: `Bearer ${clientKey.value}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
    keepalive,
    credentials: 'omit',
    cache: 'no-store',
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiFailure(0, 'unreachable', 'The ingress does not answer.');
  });
  if (response.ok) return response;
  throw failureOf(response, await response.text().catch(() => ''));
}

function failureOf(response: Response, text: string): ApiFailure {
  let error: { code?: string | null; message?: string } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // An answer of something in front of the ingress: its status says enough.
  }
  return new ApiFailure(
    response.status,
    error.code ?? `status_${response.status}`,
    error.message ?? `The ingress answered with status ${response.status}.`,
    { requestId: response.headers.get('x-request-id') ?? undefined },
  );
}

export type Models = { names: readonly string[] | undefined; failure: ApiFailure | undefined };

/** The models that the typed key may use; asked again when another key is typed. */
export function useModels(): Models & { refresh(): void } {
  const [state, setState] = useState<Models>({ names: undefined, failure: undefined });
  const [asked, setAsked] = useState(0);
  const key = clientKey.value;
  useEffect(() => {
    const over = new AbortController();
    const ask = async () => {
      try {
        const response = await fetchV1('models', { signal: over.signal });
        const { data } = (await response.json()) as { data: { id: string }[] };
        setState({ names: data.map(({ id }) => id), failure: undefined });
      } catch (error) {
        if (!over.signal.aborted) setState({ names: undefined, failure: toFailure(error) });
      }
    };
    void ask();
    return () => over.abort();
  }, [key, asked]);
  return { ...state, refresh: useCallback(() => setAsked((count) => count + 1), []) };
}
