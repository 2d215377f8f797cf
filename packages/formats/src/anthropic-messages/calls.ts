import { isJsonObject } from '@millrace/shared/domain/json';
import { parseExactly } from '../exact-json.ts';
import type { Block } from './parts.ts';
import { invalid, RefusedError } from '../refused.ts';

/** The ids of a conversation's tool calls. */
export type CallIds = { clean(id: unknown, param: string): string };

/**
 * Anthropic only accepts ids of `[a-zA-Z0-9_-]`. A conversation that began with another provider can have
 * others (`functions.look_up:0`): each is replaced by a unique one, the same for the call and for its result.
 */
export function createCallIds(): CallIds {
  const cleaned = new Map<string, string>();
  const taken = new Set<string>();
  return {
    clean(id, param) {
      if (typeof id !== 'string') throw invalid(param, 'must be a text');
      const known = cleaned.get(id);
      if (known !== undefined) return known;
      const base = id.replaceAll(/[^a-zA-Z0-9_-]/g, '_') || 'call';
      let free = base;
      for (let n = 2; taken.has(free); n++) free = `${base}_${n}`;
      taken.add(free);
      cleaned.set(id, free);
      return free;
    },
  };
}

export function toolUseBlock(call: unknown, param: string, ids: CallIds): Block & { name: string } {
  if (!isJsonObject(call)) throw invalid(param, 'must be an object');
  const { id, type, function: called } = call;
  if (type === 'custom') {
    throw new RefusedError(param, "Anthropic's API has no calls of custom tools.");
  }
  if (!isJsonObject(called) || typeof called['name'] !== 'string') {
    throw invalid(`${param}.function.name`, 'must be a text');
  }
  return {
    type: 'tool_use',
    id: ids.clean(id, `${param}.id`),
    name: called['name'],
    input: toInput(called['arguments']),
  };
}

/**
 * The arguments as the object that Anthropic requires. A model can have written invalid JSON: it stays part
 * of the conversation, as a text in the input.
 */
export function toInput(text: unknown): unknown {
  if (typeof text !== 'string') return isJsonObject(text) ? text : {};
  if (text.trim() === '') return {};
  try {
    const input = parseExactly(text);
    if (isJsonObject(input)) return input;
  } catch {
    // No JSON: refused below.
  }
  return { invalid_arguments: text };
}
