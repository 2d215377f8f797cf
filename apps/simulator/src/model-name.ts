import type { Behaviour } from './catalogue.ts';
import { BEHAVIOURS } from './catalogue.ts';
import type { KeyName, Options } from './keys.ts';
import { optionsWith, readValue } from './keys.ts';

export type ParsedModel =
  | { kind: 'known'; name: string; behaviour: Behaviour; options: Options }
  | { kind: 'unknown'; message: string };

const CACHE_LIMIT = 1000;
const cache = new Map<string, ParsedModel>();

/**
 * Reads `behaviour[:key=value[,key=value…]]`. Strict, so that a typing error in a test is a 404
 * and never a different fault.
 */
export function parseModelName(model: string): ParsedModel {
  const cached = cache.get(model);
  if (cached !== undefined) return cached;
  if (cache.size >= CACHE_LIMIT) cache.clear();
  const parsed = parse(model);
  cache.set(model, parsed);
  return parsed;
}

function parse(model: string): ParsedModel {
  const unknown = (message: string): ParsedModel => ({ kind: 'unknown', message });
  const colon = model.indexOf(':');
  const name = colon < 0 ? model : model.slice(0, colon);
  const behaviour = Object.hasOwn(BEHAVIOURS, name) ? BEHAVIOURS[name] : undefined;
  if (behaviour === undefined) {
    const known = Object.keys(BEHAVIOURS).join(', ');
    return unknown(`The model '${model}' does not exist: this simulated provider knows ${known}.`);
  }
  const values = new Map<string, number | string>(Object.entries(behaviour.defaults));
  const given = new Set<string>();
  for (const pair of colon < 0 ? [] : model.slice(colon + 1).split(',')) {
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    const option = keyOf(behaviour, key);
    if (option === undefined) {
      return unknown(`'${name}' has no key '${key}'; it knows ${keysOf(behaviour).join(', ')}.`);
    }
    if (given.has(key)) return unknown(`'${name}' has the key '${key}' twice.`);
    given.add(key);
    const read = equals < 0 ? 'a value after =' : readValue(option, pair.slice(equals + 1));
    if (typeof read === 'string') {
      return unknown(`'${key}' in '${model}' is not right: expected ${read}.`);
    }
    values.set(option, read.value);
  }
  return { kind: 'known', name, behaviour, options: optionsWith(Object.fromEntries(values)) };
}

function keyOf(behaviour: Behaviour, key: string): KeyName | undefined {
  if (Object.hasOwn(behaviour.renamed, key)) return behaviour.renamed[key];
  return behaviour.keys.find((known) => known === key);
}

function keysOf(behaviour: Behaviour): string[] {
  return [...behaviour.keys, ...Object.keys(behaviour.renamed)];
}
