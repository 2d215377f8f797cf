import { isJsonObject } from '../domain/json.ts';
import type { Path } from './document.ts';
import type { RuleProblem } from './rules.ts';

/*
 * Rules whose violation is allowed but probably a mistake. Like brokenRules they read the file's raw data and
 * skip values of the wrong form. No message contains a secret.
 */

/** Shorter secrets can be guessed. */
const shortestSecret = 16;
const shortestPassword = 12;

export function doubtfulRules(file: unknown): RuleProblem[] {
  if (!isJsonObject(file)) return [];
  const keys = Array.isArray(file['keys']) ? (file['keys'] as unknown[]) : [];
  const doubts = [
    ...keys.flatMap(doubtsOfKey),
    ...doubtsOfAdmin(file['admin']),
    ...doubtsOfProviders(file['providers']),
  ];
  return file['debugLog'] === undefined ? [...doubts, ...keys.flatMap(doubtsOfDebug)] : doubts;
}

function doubtsOfKey(entry: unknown, index: number): RuleProblem[] {
  if (!isJsonObject(entry)) return [];
  const { secret, secrets, models } = entry;
  const problems = doubtsOfSecret(secret, ['keys', index, 'secret']);
  for (const [place, one] of (Array.isArray(secrets) ? (secrets as unknown[]) : []).entries()) {
    problems.push(...doubtsOfSecret(one, ['keys', index, 'secrets', place]));
  }
  if (Array.isArray(models) && models.length === 0) {
    const message =
      'expected at least one model; this key may use none; without the field it may use all';
    problems.push({ path: ['keys', index, 'models'], message });
  }
  return problems;
}

function doubtsOfProviders(providers: unknown): RuleProblem[] {
  if (!isJsonObject(providers)) return [];
  return Object.entries(providers).flatMap(([name, provider]) => {
    const { api, completions } = isJsonObject(provider) ? provider : {};
    if (completions !== true || api === 'openai') return [];
    const message = 'expected it with api: openai only; others get completions as chats';
    return [{ path: ['providers', name, 'completions'], message }];
  });
}

/** In a file without `debugLog`. */
function doubtsOfDebug(entry: unknown, index: number): RuleProblem[] {
  if (!isJsonObject(entry) || entry['debug'] !== true) return [];
  const message = 'expected debugLog in the config: without it nothing is recorded';
  return [{ path: ['keys', index, 'debug'], message }];
}

function doubtsOfSecret(secret: unknown, path: Path): RuleProblem[] {
  if (typeof secret !== 'string') return [];
  const problems: RuleProblem[] = [];
  if (secret.length < shortestSecret) {
    problems.push({ path, message: tooShort(secret, shortestSecret) });
  }
  if (!/^[!-~]*$/.test(secret)) {
    const message =
      'expected ASCII letters, digits and punctuation without blanks: ' +
      'clients cannot send other characters as a Bearer token, and only some can as x-api-key';
    problems.push({ path, message });
  }
  return problems;
}

function doubtsOfAdmin(admin: unknown): RuleProblem[] {
  if (!isJsonObject(admin)) return [];
  const { user, password } = admin;
  const path = ['admin', 'password'];
  if (typeof password !== 'string') return [];
  if (password === user)
    return [{ path, message: 'expected a password that differs from the user' }];
  return password.length < shortestPassword
    ? [{ path, message: tooShort(password, shortestPassword) }]
    : [];
}

const tooShort = (text: string, fewest: number): string =>
  `expected at least ${fewest} characters, found ${text.length} (not shown), because a short one can be guessed; ` +
  'openssl rand -hex 24 makes a good one';

/** The warning for a server without keys that listens beyond loopback. */
export const onlyLoopbackServed = (host: string): string =>
  `${host} is beyond loopback, but without keys the server answers programs of this machine only; ` +
  'add keys (here, or over the admin API), or listen on 127.0.0.1';

export const isLoopbackHost = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
