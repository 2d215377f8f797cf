import { createHash } from 'node:crypto';
import { services, servicesOfApis } from '../domain/capabilities.ts';
import { isAlias, isPattern, mayStandFor } from '../domain/model-names.ts';
import { builtInProviders } from './simulated-providers.ts';
import { nearest } from './suggestion.ts';
import type { Path } from './document.ts';

export type RuleProblem = { readonly path: Path; readonly message: string };

/**
 * Rules that concern several fields. They read the file's raw data and skip values of the wrong form,
 * which the schema reports.
 */
export function brokenRules(file: unknown): RuleProblem[] {
  const raw = record(file);
  return [
    ...serving(raw),
    ...providerRules(raw),
    ...targetsKnown(raw),
    ...keyRules(raw),
    ...modelsKnown(raw),
    ...adminRules(raw),
    ...webhookRules(raw),
  ];
}

function serving(raw: Raw): RuleProblem[] {
  return (['providers', 'models'] as const)
    .filter((section) => raw[section] === undefined || isEmpty(raw[section]))
    .map((section) => ({ path: [section], message: `expected at least one of the ${section}` }));
}

function providerRules(raw: Raw): RuleProblem[] {
  return Object.entries(record(raw['providers'])).flatMap(([name, provider]) => {
    const { apiKey, apiKeys, tls, headers } = record(provider);
    const problems = untrimmed(['providers', name, 'apiKey'], apiKey);
    problems.push(...headerRules(['providers', name, 'headers'], headers));
    for (const [index, one] of list(apiKeys).entries()) {
      problems.push(...untrimmed(['providers', name, 'apiKeys', index], one));
    }
    if (apiKey !== undefined && apiKeys !== undefined) {
      const message = 'expected either apiKey or apiKeys, found both';
      problems.push({ path: ['providers', name], message });
    }
    const { cert, key } = record(tls);
    if ((cert === undefined) !== (key === undefined)) {
      const message = 'expected cert and key together; a client certificate needs both';
      problems.push({ path: ['providers', name, 'tls'], message });
    }
    return problems;
  });
}

/** Headers that describe the message or the connection: Millrace sets them. */
const ownHeaders: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function headerRules(path: Path, headers: unknown): RuleProblem[] {
  return Object.keys(record(headers)).flatMap((name) => {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) {
      return [{ path: [...path, name], message: 'expected the name of a header' }];
    }
    if (!ownHeaders.has(name.toLowerCase())) return [];
    return [{ path: [...path, name], message: 'expected no header that Millrace sets itself' }];
  });
}

function targetsKnown(raw: Raw): RuleProblem[] {
  const known = Object.keys(record(raw['providers']));
  const offered = [...known, ...Object.keys(builtInProviders)];
  const problems: RuleProblem[] = [];
  for (const [alias, model] of Object.entries(record(raw['models']))) {
    const targets = record(model)['targets'];
    if (!isAlias(alias)) {
      const message = 'expected a "*" at the end of the name only';
      problems.push({ path: ['models', alias], message });
    }
    if (Array.isArray(targets) && targets.length === 0) {
      problems.push({
        path: ['models', alias, 'targets'],
        message: 'expected at least one target',
      });
    }
    for (const [index, target] of list(targets).entries()) {
      const { provider: name, model: own } = record(target);
      if (typeof own === 'string' && wrongPattern(own, alias)) {
        const message = `expected ${isPattern(alias) ? 'at most one "*"' : 'no "*", because the name of the model has none'}, found ${quote(own)}`;
        problems.push({ path: ['models', alias, 'targets', index, 'model'], message });
      }
      problems.push(...servesRules(['models', alias, 'targets', index], target, raw));
      if (typeof name !== 'string' || name.trim() === '' || known.includes(name)) continue;
      problems.push({
        path: ['models', alias, 'targets', index, 'provider'],
        message: `expected one of the providers (${known.join(', ') || 'there are none'}), found ${quote(name)}${hint(name, offered)}`,
      });
    }
  }
  return problems;
}

/** Millrace must be able to ask the provider for what a target is said to serve. */
function servesRules(path: Path, target: unknown, raw: Raw): RuleProblem[] {
  const { provider, capabilities } = record(target);
  const { api } = record(record(raw['providers'])[String(provider)]);
  const possible: readonly unknown[] | undefined = Object.entries(servicesOfApis).find(
    ([name]) => name === api,
  )?.[1];
  return list(record(capabilities)['serves']).flatMap((service, index) => {
    if (!possible || !services.some((one) => one === service) || possible.includes(service)) {
      return [];
    }
    const message = `expected ${possible.join(' or ')} at a provider with api: ${String(api)}, found ${quote(String(service))}`;
    return [{ path: [...path, 'capabilities', 'serves', index], message }];
  });
}

const wrongPattern = (model: string, alias: string): boolean =>
  model.split('*').length > (isPattern(alias) ? 2 : 1);

function keyRules(raw: Raw): RuleProblem[] {
  if (raw['keys'] === undefined) return [];
  const problems: RuleProblem[] = [];
  if (isEmpty(raw['keys'])) {
    const message =
      'expected at least one key; without the field no key is needed, and only loopback is served';
    problems.push({ path: ['keys'], message });
  }
  const ids = new Map<string, number>();
  const secrets = new Map<string, string>();
  for (const [index, entry] of list(raw['keys']).entries()) {
    const { id, secret, secrets: several, sha256 } = record(entry);
    const given = Object.entries({ secret, secrets: several, sha256 }).flatMap(([field, value]) =>
      value === undefined ? [] : [field],
    );
    if (given.length !== 1 && isRecord(entry)) {
      problems.push({
        path: ['keys', index],
        message: `expected one of secret, secrets and sha256, found ${given.join(' and ') || 'none'}`,
      });
    }
    if (Array.isArray(several) && several.length === 0) {
      problems.push({ path: ['keys', index, 'secrets'], message: 'expected at least one secret' });
    }
    problems.push(...untrimmed(['keys', index, 'secret'], secret));
    for (const [place, one] of list(several).entries()) {
      problems.push(...untrimmed(['keys', index, 'secrets', place], one));
    }
    problems.push(...repeated(ids, id, index, 'id'));
    problems.push(...sameSecret(secrets, index, entry));
  }
  return problems;
}

/** HTTP strips white space around a header's value, so such a secret never arrives unchanged. */
function untrimmed(path: Path, secret: unknown): RuleProblem[] {
  if (typeof secret !== 'string' || secret.trim() === secret || secret.trim() === '') return [];
  return [{ path, message: 'expected no white space at its beginning or end (not shown)' }];
}

/** Keys name only models that exist. */
function modelsKnown(raw: Raw): RuleProblem[] {
  const known = Object.keys(record(raw['models']));
  return list(raw['keys']).flatMap((key, index) =>
    unknownModels(record(key)['models'], known).map(({ path, message }) => {
      return { path: ['keys', index, ...path], message };
    }),
  );
}

/** The models of a key that do not exist; paths are relative to the key. */
export function unknownModels(models: unknown, known: readonly string[]): RuleProblem[] {
  return list(models).flatMap((name, place) => {
    if (typeof name !== 'string' || name.trim() === '') return [];
    if (mayStandFor(name, known)) return [];
    const message = `expected "*" or one of the models (${known.join(', ') || 'there are none'}), found ${quote(name)}${hint(name, known)}`;
    return [{ path: ['models', place], message }];
  });
}

/** Basic authentication ends the user name at the first colon. */
function adminRules(raw: Raw): RuleProblem[] {
  const { user } = record(raw['admin']);
  if (typeof user !== 'string' || !user.includes(':')) return [];
  return [
    { path: ['admin', 'user'], message: `expected a name without a colon, found ${quote(user)}` },
  ];
}

/** A message over http can be read and changed on its way. */
function webhookRules(raw: Raw): RuleProblem[] {
  const { url, allowPrivate } = record(raw['webhooks']);
  if (typeof url !== 'string' || !/^http:/i.test(url) || allowPrivate === true) return [];
  const message = 'expected an https URL; http needs allowPrivate: true';
  return [{ path: ['webhooks', 'url'], message }];
}

/** A secret identifies one key, so no two keys may share one. `seen` maps digests to keys. */
function sameSecret(seen: Map<string, string>, index: number, entry: unknown): RuleProblem[] {
  const { id, secret, secrets, sha256 } = record(entry);
  const name = typeof id === 'string' ? `keys[${index}] ${quote(id)}` : `keys[${index}]`;
  const problems: RuleProblem[] = [];
  const given: [Path, unknown][] = [
    [['secret'], secret],
    ...list(secrets).map((one, place): [Path, unknown] => [['secrets', place], one]),
    [['sha256'], sha256],
  ];
  for (const [field, value] of given) {
    if (typeof value !== 'string') continue;
    const digest = field[0] === 'sha256' ? value.toLowerCase() : digestOf(value);
    const first = seen.get(digest);
    if (first === undefined) seen.set(digest, name);
    else if (first !== name) {
      const message = `expected ${name} to have another secret than ${first}; a secret identifies one key`;
      problems.push({ path: ['keys', index, ...field], message });
    }
  }
  return problems;
}

const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

function repeated(
  seen: Map<string, number>,
  value: unknown,
  index: number,
  name: string,
): RuleProblem[] {
  if (typeof value !== 'string') return [];
  const first = seen.get(value);
  if (first !== undefined) {
    return [
      {
        path: ['keys', index, name],
        message: `expected another ${name} than that of keys[${first}]`,
      },
    ];
  }
  seen.set(value, index);
  return [];
}

type Raw = Record<string, unknown>;

export function hint(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? '' : ` (did you mean ${near}?)`;
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

export function isRecord(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown): Raw {
  return isRecord(value) ? value : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
