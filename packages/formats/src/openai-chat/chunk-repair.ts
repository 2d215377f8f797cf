import type { JsonObject } from '@millrace/shared/domain/json';
import { withinDepth, isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { choiceIndex, hasFinish, isUsageOnly, usageOf } from './chunk.ts';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { createToolCallRepair, edited, repairPart } from './tool-call-repair.ts';
import type { ToolCallRepair } from './tool-call-repair.ts';
import { parseExactly } from '../exact-json.ts';
import { newCallId } from './identity.ts';
import type { Identity } from './identity.ts';
import type { ProviderCall } from '../port.ts';

/**
 * Corrects the chunks of a stream so that clients can handle a provider that deviates from OpenAI: one
 * identity, one role and one finish_reason for each choice, tool calls that every reader assembles in the
 * same way, and the usage in a chunk of its own. A correct chunk keeps every byte.
 */
export type ChunkRepair = {
  /** The text of a chunk as readers get it, without a usage; the same text if it is correct. */
  repair(text: string, chunk: JsonObject): string;
  /**
   * The text of a chunk with only the usage: this one if it is such a chunk, otherwise a new one with its
   * usage. `chunk`: one with a usage.
   */
  usageChunk(text: string, chunk: JsonObject): string;
};

/** Members of a chunk with parts of the answer that OpenAI's usage chunk has as well. */
const headMembers = ['id', 'object', 'created', 'model', 'service_tier', 'system_fingerprint'];

export function createChunkRepair(
  { body }: Pick<ProviderCall, 'body'>,
  identity: Identity,
): ChunkRepair {
  const isUsageHidden = !asksForUsage(body);
  /** The choices whose role was sent. */
  const roles = new Set<number>();
  /** The choices whose (single) `function_call` has its name. */
  const named = new Set<number>();
  const begun = new Set<number>();
  /** The choices whose finish_reason was sent (OpenRouter repeats it beside the usage). */
  const finished = new Set<number>();
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
    if (isJsonObject(call)) {
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
    if (!isJsonObject(choice)) return choice;
    const { delta, message } = choice;
    const index = choiceIndex(choice, place);
    const isEnd = hasFinish(choice);
    const edits: Record<string, unknown> = {};
    if (isEnd && finished.has(index)) edits['finish_reason'] = null;
    if (isEnd) finished.add(index);
    if (isJsonObject(choice['usage'])) edits['usage'] = undefined;
    // A whole answer as a stream's only event: clients expect deltas.
    const isWhole = !isJsonObject(delta) && isJsonObject(message) && !begun.has(index) && isEnd;
    begun.add(index);
    const said = isWhole ? message : delta;
    const fresh = isJsonObject(said) ? repairDelta(index, said) : said;
    if (fresh !== delta) edits['delta'] = fresh;
    if (isWhole) edits['message'] = undefined;
    return edited(choice, edits);
  }

  /** The corrected choices as text; undefined if they are correct. */
  function repairChoices(choices: readonly unknown[]): string | undefined {
    const fresh = choices.map(repairChoice);
    return fresh.some((choice, at) => choice !== choices[at]) ? JSON.stringify(fresh) : undefined;
  }

  /** The identity members that the chunk lacks or has with another value. */
  function headOf(chunk: JsonObject): Readonly<Record<string, string>> {
    // Azure's preamble has an empty one.
    const isNamed = typeof chunk.object === 'string' && chunk.object !== '';
    return {
      ...identity.changed(chunk),
      ...(!isNamed && { object: '"chat.completion.chunk"' }),
    };
  }

  /** The text without its usage. A client that asked for usage gets `null` in its place, as from OpenAI. */
  function withoutUsage(text: string, { usage }: JsonObject): string {
    if (usage === undefined) return text;
    if (isUsageHidden) return withoutMember(text, 'usage');
    return isJsonObject(usage) ? setMembers(text, { usage: 'null' }) : text;
  }

  return {
    repair(text, chunk) {
      const exact = needsCare(text) ? (withinDepth(parseExactly(text)) as JsonObject) : chunk;
      const choices = repairChoices(itemsOf(exact.choices));
      const groq = exact['x_groq'];
      const members = {
        ...headOf(chunk),
        ...(choices !== undefined && { choices }),
        ...(isJsonObject(groq) &&
          isJsonObject(groq['usage']) && {
            x_groq: JSON.stringify(edited(groq, { usage: undefined })),
          }),
      };
      const repaired = Object.keys(members).length > 0 ? setMembers(text, members) : text;
      return withoutUsage(repaired, chunk);
    },
    usageChunk(text, chunk) {
      if (isUsageOnly(chunk)) {
        // Clients read the choices of every chunk.
        const members = {
          ...headOf(chunk),
          ...(!Array.isArray(chunk.choices) && { choices: '[]' }),
          ...(!isJsonObject(chunk.usage) && { usage: JSON.stringify(usageOf(chunk)) }),
        };
        return Object.keys(members).length > 0 ? setMembers(text, members) : text;
      }
      const told = headMembers.filter((name) => chunk[name] !== undefined);
      const head = Object.fromEntries(told.map((name) => [name, chunk[name]]));
      const bare = { ...head, choices: [], usage: usageOf(chunk) };
      return setMembers(JSON.stringify(bare), headOf(bare));
    },
  };
}

/** Whether the text has numbers that JSON.parse may round. */
const needsCare = (text: string): boolean => /\d{16}/.test(text);

/** Whether the client itself asked for usage. */
function asksForUsage(body: string): boolean {
  const options = memberText(body, 'stream_options');
  return options?.startsWith('{') === true && memberText(options, 'include_usage') === 'true';
}
