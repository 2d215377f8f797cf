import { formatOf } from '@millrace/formats/provider-formats';
import type { ProviderConfig } from '@millrace/shared/config';
import type { Dispatcher } from 'undici';
import type { Connection } from './connection.ts';

/** The request for a provider's list of models, with its first key. */
export function modelsRequest(
  provider: Pick<ProviderConfig, 'api' | 'baseUrl' | 'apiKeys' | 'auth' | 'query' | 'headers'>,
): Dispatcher.DispatchOptions {
  const { baseUrl, apiKeys } = provider;
  return { method: 'GET', ...formatOf(provider).modelsRequest({ baseUrl, apiKey: apiKeys[0] }) };
}

/** Sends a request on this connection only to keep it open; the answer is discarded. `onDone` is called once. */
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
