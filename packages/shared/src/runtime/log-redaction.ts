/**
 * The code of an error as logs may have it. It may be a provider's own; `error` stands for one that is no identifier,
 * because any other text could repeat the request.
 */
export const plainCode = <T extends null | undefined>(code: string | T): string | T =>
  typeof code !== 'string' || /^[\w.-]{1,64}$/.test(code) ? code : 'error';

/** Replaces a secret in a log line. */
const censor = '[redacted]';

/** Names of fields that hold secrets. */
const secretNames: ReadonlySet<string> = new Set([
  'authorization',
  'Authorization',
  'cookie',
  'apiKey',
  'api_key',
  'apiKeys',
  'password',
  'secret',
  'secrets',
  'sha256',
  'secretsSha256',
  'secretSha256',
  'passwordSha256',
  'token',
  'x-api-key',
  'x-goog-api-key',
  'api-key',
  'proxy-authorization',
]);

/**
 * Returns what to log, with `[redacted]` in the fields whose names are those of secrets, down to `levels`: the
 * object itself, unchanged, or copies of the parts that have such a field. pino's own redaction copies every
 * object of every line, which takes longer than the rest of a line.
 */
export function withoutSecrets<T extends object>(value: T, levels: number): T {
  let copy: Record<string, unknown> | undefined;
  for (const name of Object.keys(value)) {
    const field: unknown = Reflect.get(value, name);
    const plain = secretNames.has(name) ? censor : plainField(field, levels - 1);
    if (plain !== field) Reflect.set((copy ??= copyOf(value)), name, plain);
  }
  return (copy as T | undefined) ?? value;
}

function plainField(field: unknown, levels: number): unknown {
  if (levels === 0 || typeof field !== 'object' || field === null || ArrayBuffer.isView(field)) {
    return field;
  }
  return withoutSecrets(field, levels);
}

/** Keeps arrays: a spread would turn one into an object. */
const copyOf = (value: object): Record<string, unknown> =>
  (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>;
