import { Agent, request } from 'node:http';
import { wordsOf } from './provider.ts';
import type { Message } from './provider.ts';

export interface Load {
  url: string;
  model: string;
  /** Conversations, and questions of each; each question has the conversation so far as its prompt. */
  conversations: number;
  turns: number;
  /** Conversations at a time. */
  concurrency: number;
  /** Other prompts for another seed. */
  seed: number;
}

export interface Asked {
  firstTokenMs: number | undefined;
  /** `failed`: a clear error in the place of an answer or of its end. `wrong`: another text than expected. */
  outcome: 'whole' | 'failed' | 'wrong';
}

/** Characters of the prompt that all conversations share, and of each question: about 3,000 and 500 tokens. */
const SYSTEM_CHARS = 12_000;
const QUESTION_CHARS = 2_000;

export async function converse(load: Load, signal: AbortSignal): Promise<Asked[]> {
  const agent = new Agent({ keepAlive: true });
  const all: Asked[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let number = next++; number < load.conversations; number = next++) {
      all.push(...(await conversation(load, number, agent, signal)));
    }
  };
  try {
    await Promise.all(Array.from({ length: load.concurrency }, lane));
    return all;
  } finally {
    agent.destroy();
  }
}

async function conversation(
  load: Load,
  number: number,
  agent: Agent,
  signal: AbortSignal,
): Promise<Asked[]> {
  const { seed, turns } = load;
  const messages: Message[] = [{ role: 'system', content: filler(`s${seed}`, SYSTEM_CHARS) }];
  const all: Asked[] = [];
  for (let turn = 0; turn < turns; turn++) {
    signal.throwIfAborted();
    const question = `s${seed}c${number}t${turn}`;
    messages.push({ role: 'user', content: filler(question, QUESTION_CHARS) });
    all.push(await ask(load, question, messages, agent));
    messages.push({ role: 'assistant', content: wordsOf(question).join(' ') });
  }
  return all;
}

const filler = (word: string, chars: number): string =>
  `${word} `.repeat(Math.ceil(chars / (word.length + 1))).slice(0, chars);

function ask(
  { url, model }: Load,
  user: string,
  messages: readonly Message[],
  agent: Agent,
): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const sentAt = performance.now();
    const outgoing = request(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json' },
    });
    outgoing.on('response', (response) => {
      let text = '';
      let firstTokenMs: number | undefined;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.includes('"content"')) firstTokenMs ??= performance.now() - sentAt;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ firstTokenMs, outcome: outcomeOf(text, user) }));
    });
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify({ model, user, messages, stream: true, max_tokens: 150 }));
  });
}

function outcomeOf(text: string, question: string): Asked['outcome'] {
  if (!text.includes('data: [DONE]') || text.includes('"error"')) return 'failed';
  const said = text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice('data: '.length)) as Chunk)
    .map(({ choices }) => choices[0]?.delta.content ?? '')
    .join('');
  return said.trim() === wordsOf(question).join(' ') ? 'whole' : 'wrong';
}

interface Chunk {
  choices: { delta: { content?: string } }[];
}
