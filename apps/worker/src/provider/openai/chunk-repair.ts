import { withinDepth } from '@millrace/shared/domain/json';
import { choiceIndex, isObject, itemsOf } from '@millrace/shared/domain/chunk';
import type { JsonObject } from '@millrace/shared/domain/chunk';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { createToolCallRepair, edited, repairPart } from '@millrace/shared/domain/tool-call-repair';
import type { ToolCallRepair } from '@millrace/shared/domain/tool-call-repair';
import { parseExactly } from '../exact-json.ts';
import { newCallId } from '../identity.ts';
import type { Identity } from '../identity.ts';
import type { ProviderCall } from '../port.ts';

/**
 * Makes the chunks of a stream such that no client is surprised by what its provider does otherwise than
 * OpenAI: one identity, one role for each choice, tool calls that every reader puts together alike, and
 * no `usage: null` that only our own question brought. A chunk that is right keeps every byte.
 */
export type ChunkRepair = {
  /** The text of the chunk as readers get it: the same text where nothing is wrong with it. */
  repair(text: string, chunk: JsonObject): string;
};

export function createChunkRepair(
  { body }: Pick<ProviderCall, 'body'>,
  identity: Identity,
): ChunkRepair {
  const isUsageHidden = !asksForUsage(body);
  /** The choices that have had their role. */
  const roles = new Set<number>();
  /** The choices whose `function_call`, which there is one of, has its name. */
  const named = new Set<number>();
  const begun = new Set<number>();
  const calls = new Map<number, ToolCallRepair>();

  function repairDelta(index: number, delta: JsonObject): JsonObject {
    const edits: Record<string, unknown> = {};
    const { role, tool_calls: deltas, function_call: call } = delta;
    if (typeof role === 'string' && role !== '') {
      if (roles.has(index)) edits['role'] = undefined;
      roles.add(index);
    }
    if (Array.isArray(deltas) && deltas.length > 0) {
      const fresh = callsOf(index).repair(deltas as unknown[]);
      if (fresh !== deltas) edits['tool_calls'] = fresh;
    }
    if (isObject(call)) {
      const fresh = repairPart(call, named.has(index));
      if (fresh !== call) edits['function_call'] = fresh;
      if (typeof call['name'] === 'string' && call['name'] !== '') named.add(index);
    }
    return edited(delta, edits);
  }

  function callsOf(index: number): ToolCallRepair {
    const known = calls.get(index) ?? createToolCallRepair(newCallId);
    calls.set(index, known);
    return known;
  }

  function repairChoice(choice: unknown, place: number): unknown {
    if (!isObject(choice)) return choice;
    const { delta, message, finish_reason: reason } = choice;
    const index = choiceIndex(choice, place);
    // A whole answer as a stream's only event: clients look for deltas.
    const isWhole = !isObject(delta) && isObject(message) && !begun.has(index) && Boolean(reason);
    const said = isWhole ? message : delta;
    begun.add(index);
    if (!isObject(said)) return choice;
    const fresh = repairDelta(index, said);
    if (isWhole) return edited(choice, { delta: fresh, message: undefined });
    return fresh === said ? choice : edited(choice, { delta: fresh });
  }

  return {
    repair(text, chunk) {
      const choices = itemsOf(
        (needsCare(text) ? (withinDepth(parseExactly(text)) as JsonObject) : chunk).choices,
      );
      const fresh = choices.map(repairChoice);
      const isChanged = fresh.some((choice, at) => choice !== choices[at]);
      const changed = identity.changed(chunk);
      // Azure's preamble has an empty one.
      const isNamed = typeof chunk.object === 'string' && chunk.object !== '';
      const members = {
        ...changed,
        ...(!isNamed && { object: '"chat.completion.chunk"' }),
        ...(isChanged && { choices: JSON.stringify(fresh) }),
      };
      const repaired = changed || isChanged || !isNamed ? setMembers(text, members) : text;
      return isUsageHidden && chunk.usage === null ? withoutMember(repaired, 'usage') : repaired;
    },
  };
}

/** It has numbers that JSON.parse may round. */
const needsCare = (text: string): boolean => /\d{16}/.test(text);

/** Whether the client itself asked for usage. */
function asksForUsage(body: string): boolean {
  const options = memberText(body, 'stream_options');
  return options?.startsWith('{') === true && memberText(options, 'include_usage') === 'true';
}
