import type { ProviderFormat, UpstreamRequest } from './port.ts';

/** What the config adds to every request for a provider, so that dialects of a format need no code. */
export type Additions = {
  /** How a key is shown; `default`: as the format does. */
  readonly auth?: 'default' | 'bearer' | 'api-key' | 'x-api-key';
  /** Query parameters, such as Azure's `api-version`. */
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Headers; they replace those of the format. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
};

/** The format with these additions; the same object if there are none. */
export function withAdditions(format: ProviderFormat, additions: Additions): ProviderFormat {
  const { auth = 'default', query = {}, headers = {} } = additions;
  const search = new URLSearchParams(query).toString();
  const own = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  if (auth === 'default' && search === '' && own.length === 0) return format;

  function add<R extends Omit<UpstreamRequest, 'body'>>(request: R, apiKey: string | undefined): R {
    const { path } = request;
    const separator = path.includes('?') ? '&' : '?';
    return {
      ...request,
      path: search === '' ? path : `${path}${separator}${search}`,
      headers: { ...showKey(request.headers, apiKey), ...Object.fromEntries(own) },
    };
  }

  function showKey(all: Record<string, string>, apiKey: string | undefined) {
    if (auth === 'default' || apiKey === undefined) return all;
    const others = Object.entries(all).filter(([name]) => !keyHeaders.has(name));
    const shown = auth === 'bearer' ? ['authorization', `Bearer ${apiKey}`] : [auth, apiKey];
    return Object.fromEntries([...others, shown]) as Record<string, string>;
  }

  return {
    ...format,
    modelsRequest: (account) => add(format.modelsRequest(account), account.apiKey),
    request(call) {
      const request = format.request(call);
      return 'code' in request ? request : add(request, call.apiKey);
    },
  };
}

/** The headers in which formats show a key. */
const keyHeaders: ReadonlySet<string> = new Set(['authorization', 'x-api-key', 'x-goog-api-key']);

/** Names of headers and query parameters whose values are secrets. */
export const namesSecret = (name: string): boolean =>
  /auth|key|token|secret|cookie|pass|pwd|signature|credential|subscription|session|^code$|^sig$/i.test(
    name,
  );

/** The secrets among the additions: texts that must not appear in an answer. */
export function secretsIn({ query = {}, headers = {} }: Additions): string[] {
  const values = [...Object.entries(query), ...Object.entries(headers)].flatMap(([name, value]) =>
    namesSecret(name) ? [value] : [],
  );
  const scheme = /^(?:basic|bearer|token)\s+/i;
  return [...new Set(values.flatMap((value) => [value, value.replace(scheme, '')]))];
}
