import { readFileSync } from 'node:fs';
import { checkServerIdentity } from 'node:tls';
import type { PeerCertificate } from 'node:tls';
import type { Config, ProviderConfig } from '@millrace/shared/config';
import { formatOf } from '@millrace/formats/provider-formats';
import { Agent, ProxyAgent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { judgeExpiry } from './certificates.ts';
import { ok, problem, reasonOf, warning } from './check.ts';
import type { Check } from './check.ts';

export type ProviderCheckOptions = {
  timeoutMs: number;
  now: number;
  /** Simulated providers that only `npm start` runs. */
  notRunning: readonly string[];
};

/** Asks each provider for its models, as the health check does, once with each of its keys. */
export async function checkProviders(
  { providers }: Pick<Config, 'providers'>,
  options: ProviderCheckOptions,
): Promise<Check[]> {
  const each = Object.entries(providers).map(async ([name, provider]) =>
    options.notRunning.includes(name)
      ? [ok(`provider ${name}`, 'simulated: npm start runs it')]
      : checkProvider(name, provider, options),
  );
  return (await Promise.all(each)).flat();
}

async function checkProvider(
  name: string,
  provider: ProviderConfig,
  { timeoutMs, now }: ProviderCheckOptions,
): Promise<Check[]> {
  const title = `provider ${name}`;
  let certificate: PeerCertificate | undefined;
  let dispatcher: Dispatcher;
  try {
    dispatcher = openDispatcher(provider, timeoutMs, (shown) => (certificate = shown));
  } catch (error) {
    const advice = `Correct the files of providers.${name}.tls.`;
    return [problem(title, `its TLS settings cannot be used: ${reasonOf(error)}`, advice)];
  }
  try {
    const keys = provider.apiKeys.length === 0 ? [undefined] : provider.apiKeys;
    const checks: Check[] = [];
    for (const [index, apiKey] of keys.entries()) {
      const which = keys.length > 1 ? `${title}, key ${index + 1}` : title;
      const answer = await askForModels(provider, apiKey, dispatcher, timeoutMs);
      checks.push(judgeAnswer(which, provider.baseUrl, answer, apiKey !== undefined));
      // The others would wait for the same time-out.
      if ('error' in answer) break;
    }
    if (certificate) {
      const { valid_from: from, valid_to: to } = certificate;
      const expiry = judgeExpiry(`certificate of ${title}`, { from, to }, now);
      // A public service renews its certificate by itself, some days before its end.
      if (expiry.verdict !== 'ok') checks.push({ ...expiry, advice: 'Tell whoever runs it.' });
    }
    return checks;
  } finally {
    await dispatcher.destroy();
  }
}

function openDispatcher(
  { tls, proxy }: ProviderConfig,
  timeoutMs: number,
  onCertificate: (certificate: PeerCertificate) => void,
): Dispatcher {
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const [ca, cert, key] = [read(tls.ca), read(tls.cert), read(tls.key)];
  const connect = {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    minVersion: `TLSv${tls.minVersion}` as const,
    timeout: timeoutMs,
    checkServerIdentity(host: string, certificate: PeerCertificate) {
      onCertificate(certificate);
      return checkServerIdentity(host, certificate);
    },
  };
  return proxy === undefined
    ? new Agent({ connect })
    : new ProxyAgent({ uri: proxy, requestTls: connect });
}

export type ModelsAnswer = { status: number } | { error: string };

async function askForModels(
  provider: ProviderConfig,
  apiKey: string | undefined,
  dispatcher: Dispatcher,
  timeoutMs: number,
): Promise<ModelsAnswer> {
  const { baseUrl } = provider;
  const { path, headers } = formatOf(provider).modelsRequest({ baseUrl, apiKey });
  try {
    const { statusCode, body } = await request(new URL(path, baseUrl), {
      dispatcher,
      headers,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: AbortSignal.timeout(timeoutMs),
    });
    // The status is the answer: a body that breaks off, or that is not read, changes nothing.
    body.on('error', () => {});
    body.destroy();
    return { status: statusCode };
  } catch (error) {
    return { error: isTimeout(error) ? `no answer within ${timeoutMs} ms` : reasonOf(error) };
  }
}

const isTimeout = (error: unknown): boolean =>
  error instanceof Error && /Timeout/.test(`${error.name} ${error.message}`);

export function judgeAnswer(
  name: string,
  baseUrl: string,
  answer: ModelsAnswer,
  hasKey: boolean,
): Check {
  // A path may hold a secret.
  const at = new URL(baseUrl).origin;
  if ('error' in answer) {
    const advice = 'Correct baseUrl, or open the way to it (network, proxy, authorities).';
    return problem(name, `${at} cannot be reached: ${answer.error}`, advice);
  }
  const { status } = answer;
  const found = `${at} answers ${status}`;
  if (status < 400) return ok(name, `${at} answers${hasKey ? ', and accepts the key' : ''}`);
  if (status === 401) {
    const why = hasKey ? 'it rejects the key' : 'it asks for a key';
    return problem(name, `${found}: ${why}`, 'Correct apiKey or apiKeys.');
  }
  if (status === 403) {
    const advice = 'See that the key may list models and call them; some keys may only call.';
    return warning(name, found, advice);
  }
  if (status === 404) {
    return warning(name, `${found}: it has no list of models`, 'See that baseUrl is right.');
  }
  if (status === 429) return warning(name, found, 'The key is at its limit; try again.');
  if (status < 500) return warning(name, found, 'See that baseUrl and the key are right.');
  return problem(name, found, 'The provider is down, or baseUrl names something else.');
}
