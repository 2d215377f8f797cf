/*
 * The rules for the chunks of one plain stream, in order, under which an OpenAI client in any language can
 * read them.
 */

type ToolCall = { index?: unknown; id?: unknown; function?: { name?: unknown } };
type Choice = {
  index?: unknown;
  delta?: { role?: unknown; tool_calls?: ToolCall[] | null } & Record<string, unknown>;
  finish_reason?: unknown;
};
type Chunk = {
  id?: unknown;
  object?: unknown;
  created?: unknown;
  model?: unknown;
  choices?: Choice[];
  usage?: unknown;
};

/** Throws an error that names the rule that a chunk breaks. */
export type ChunkRules = {
  take(chunk: Record<string, unknown>): void;
  /** `[DONE]` came. */
  finish(): void;
};

/** `usage`: the client asked for usage. */
export function createChunkRules({ usage: wantsUsage }: { usage: boolean }): ChunkRules {
  let identity: string | undefined;
  let usages = 0;
  const roles = new Set<number>();
  const calls = new Set<string>();
  /** Whether the choice has its finish_reason. */
  const choices = new Map<number, boolean>();
  const isFinished = () => choices.size > 0 && [...choices.values()].every(Boolean);

  function checkIdentity({ id, object, created, model }: Chunk): void {
    if (typeof id !== 'string' || id === '') broken(`id is ${JSON.stringify(id)}`);
    if (typeof model !== 'string' || model === '') broken(`model is ${JSON.stringify(model)}`);
    if (!Number.isInteger(created) || created === 0)
      broken(`created is ${JSON.stringify(created)}`);
    // Azure's first chunk has an empty one, which all SDKs accept.
    if (object !== 'chat.completion.chunk' && object !== '') {
      broken(`object is ${JSON.stringify(object)}`);
    }
    const mine = JSON.stringify([id, created, model]);
    identity ??= mine;
    if (identity !== mine) broken(`id, created and model change from ${identity} to ${mine}`);
  }

  function checkChoice({ index, delta, finish_reason: reason }: Choice): void {
    if (typeof index !== 'number') broken('a choice without an index');
    if (typeof delta !== 'object' || delta === null) broken('a choice without a delta');
    const isOver = choices.get(index) ?? false;
    if (delta.role !== undefined && delta.role !== null) {
      if (roles.has(index)) broken(`role twice in choice ${index}`);
      roles.add(index);
    }
    if (isOver && saysSomething(delta)) broken(`choice ${index} goes on behind its finish_reason`);
    if (isOver && reason != null) broken(`a second finish_reason in choice ${index}`);
    choices.set(index, isOver || reason != null);
    for (const call of delta.tool_calls ?? []) checkToolCall(index, call);
  }

  /** Some SDKs join the pieces of a call, including its id and its name. */
  function checkToolCall(choice: number, { index, id, function: called }: ToolCall): void {
    if (typeof index !== 'number') broken('a tool call without an index');
    const call = `${choice}/${index}`;
    if (!calls.has(call)) {
      if (typeof id !== 'string' || id === '') broken(`tool call ${call} begins without an id`);
      calls.add(call);
    } else if (id || called?.name) broken(`tool call ${call} has an id or a name again`);
  }

  return {
    take(chunk) {
      // openai-go and openai-java treat the key alone as an error.
      if ('error' in chunk) broken('a chunk with a field "error"');
      const { choices: found, usage } = chunk as Chunk;
      checkIdentity(chunk);
      if (!Array.isArray(found)) broken('choices is no array');
      const isUsage = usage !== undefined && usage !== null;
      if ('usage' in chunk && !wantsUsage) broken('usage, for which the client did not ask');
      if (isUsage && found.length > 0) broken('a usage beside a part of the answer');
      if (isUsage) usages += 1;
      if (usages > 1) broken('a second chunk of usage');
      if (found.length === 0 && !isUsage && isFinished()) {
        broken('a chunk without choices and usage behind the last finish_reason');
      }
      for (const choice of found) checkChoice(choice);
    },
    finish() {
      const open = [...choices].filter(([, isOver]) => !isOver).map(([index]) => index);
      if (open.length > 0) broken(`[DONE] without a finish_reason of choice ${open.join(', ')}`);
    },
  };
}

/** A breach of a rule. */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule';
}

export function broken(rule: string): never {
  throw new BrokenRule(rule);
}

const saysSomething = (delta: Record<string, unknown>): boolean =>
  Object.entries(delta).some(
    ([key, value]) =>
      key !== 'role' && value !== undefined && value !== null && value !== '' && !isEmpty(value),
  );

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
