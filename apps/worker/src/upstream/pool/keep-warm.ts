import type { ProviderConfig } from '@millrace/shared/config';
import type { Dispatcher } from 'undici';
import type { Connection } from './connection.ts';

/** The one version of Anthropic's API that there is. */
const anthropicVersion = '2023-06-01';

/** The lightest thing that a provider can be asked: which models it has. */
export function modelsRequest({
  api,
  baseUrl,
  apiKeys,
}: Pick<ProviderConfig, 'api' | 'baseUrl' | 'apiKeys'>): Dispatcher.DispatchOptions {
  const base = new URL(baseUrl).pathname.replace(/\/+$/, '');
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'millrace' };
  const [key] = apiKeys;
  if (api === 'anthropic') {
    headers['anthropic-version'] = anthropicVersion;
    if (key !== undefined) headers['x-api-key'] = key;
  } else if (key !== undefined) headers['authorization'] = `Bearer ${key}`;
  const path =
    api === 'anthropic' && !base.endsWith('/v1') ? `${base}/v1/models` : `${base}/models`;
  return { method: 'GET', path, headers };
}

/** Asks on this connection, for its use alone: whatever is answered is thrown away. `onDone`: once. */
export function keepWarm(
  connection: Connection,
  request: Dispatcher.DispatchOptions,
  timeoutMs: number,
  onDone: (answered: boolean) => void,
): void {
  const timer = setTimeout(() => connection.close('error'), timeoutMs);
  timer.unref();
  let over = false;
  const finish = (answered: boolean) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    onDone(answered);
  };
  connection.send(request, {
    onResponseStart() {},
    onResponseData() {},
    onRequestStart() {},
    onResponseEnd: () => finish(true),
    onResponseError: () => finish(false),
  });
}
