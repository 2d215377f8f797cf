/**
 * Request bodies as coding agents send them: a system prompt, a dozen tools with their schemas, and a
 * long conversation of file contents and tool results. Sizes as seen at real agents: most requests carry
 * 100 KB, some 570 KB, and one in ten, with images or whole repositories in it, 5.9 MB.
 */

export const AGENT_SIZES = [
  { bytes: 100_000, share: 0.6 },
  { bytes: 570_000, share: 0.3 },
  { bytes: 5_900_000, share: 0.1 },
] as const;

/**
 * The order of the sizes, so that every run has the same mixture: ten bodies, the large ones apart from each
 * other.
 */
const ORDER = [0, 0, 1, 0, 0, 1, 2, 0, 1, 0] as const;

const CODE_LINE =
  '  const total = items.reduce((sum, { price, count }) => sum + price * count, 0);\n';
const PROSE = 'Read the file before you edit it, and run the tests after each change. ';
const TOOLS = ['read_file', 'write_file', 'edit_file', 'run_command', 'search', 'list_folder'];

/** Returns the bodies in an endless sequence: call it with 0, 1, 2, … */
export function agentBodies(model: string): (index: number) => Buffer {
  const bodies = AGENT_SIZES.map(({ bytes }) => Buffer.from(agentBody(model, bytes)));
  return (index) => bodies[ORDER[index % ORDER.length]!]!;
}

/** A chat completion request of about `bytes` bytes. */
export function agentBody(model: string, bytes: number): string {
  const messages: object[] = [{ role: 'system', content: PROSE.repeat(200) }];
  const head = { model, stream: true, tools: TOOLS.map(toolOf) };
  let size = JSON.stringify({ ...head, messages }).length;
  for (let turn = 0; size < bytes; turn++) {
    // Between 2 and 64 KB a message, as files and outputs of commands are.
    const lines = Math.min(25 * 2 ** (turn % 6), Math.ceil((bytes - size) / CODE_LINE.length));
    const pair = turnOf(turn, lines);
    size += JSON.stringify(pair).length;
    messages.push(...pair);
  }
  messages.push({ role: 'user', content: 'Count, please.' });
  return JSON.stringify({ ...head, messages });
}

function turnOf(turn: number, lines: number): object[] {
  const id = `call_${turn}`;
  const path = JSON.stringify({ path: `src/orders/file-${turn}.ts` });
  const call = { id, type: 'function', function: { name: 'read_file', arguments: path } };
  return [
    { role: 'assistant', content: PROSE, tool_calls: [call] },
    { role: 'tool', tool_call_id: id, content: CODE_LINE.repeat(lines) },
  ];
}

function toolOf(name: string): object {
  const properties = {
    path: { type: 'string', description: PROSE },
    pattern: { type: 'string', description: PROSE.repeat(3) },
    limit: { type: 'integer', minimum: 1, maximum: 1_000 },
  };
  const parameters = { type: 'object', properties, required: ['path'] };
  return { type: 'function', function: { name, description: PROSE.repeat(8), parameters } };
}
