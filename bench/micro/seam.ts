/**
 * Measures what a fault in the middle of a long answer costs the worker's event loop, in milliseconds: the
 * search for an anchor, everything that one anchored step does with the text, and a reply that repeats it, in
 * the filter. The median of several rounds. Run: node bench/micro/seam.ts
 */
import {
  continuationBody,
  promptTokens,
} from '../../apps/worker/src/continuation/continue-body.ts';
import { createSpliceFilter } from '../../apps/worker/src/continuation/splice-filter.ts';
import { strategiesFor } from '../../apps/worker/src/continuation/strategies.ts';
import type { ContinuationStrategy } from '../../apps/worker/src/continuation/strategies.ts';
import { chooseAnchor } from '../../apps/worker/src/continuation/splice/anchor.ts';
import { addText, nothingDelivered } from '../../apps/worker/src/continuation/delivered.ts';
import type { Delivered } from '../../apps/worker/src/continuation/delivered.ts';

const LENGTHS = [20_000, 200_000, 1_000_000];
const ROUNDS = 5;
/** Characters of a chunk: a token, about. */
const PIECE = 4;

const words =
  'the river turns a mill and every stone it carries grinds a little finer than before'.split(' ');

function prose(length: number): string {
  let text = '';
  for (let i = 0; text.length < length; i++) {
    text += `${words[(i * 7 + (i >> 3)) % words.length]}${i % 9 === 0 ? i : ''} `;
  }
  return text;
}

const repeated = (phrase: string, length: number) =>
  phrase.repeat(Math.ceil(length / phrase.length)).slice(0, length);

const texts: Record<string, (length: number) => string> = {
  prose,
  'aaaa…': (length) => repeated('a', length),
  'aaaa…b': (length) => `${repeated('a', length)}b${'a'.repeat(300)}`,
  'abab…c': (length) => `${repeated('ab', length)}c${'ab'.repeat(150)}`,
  'b aaaa…': (length) => `${'a'.repeat(23)}b${repeated('a', length)}`,
  'white space': (length) => `x${repeated(' \n', length)}the end of a text that is no white space`,
  'a table': (length) => repeated('| the stone | 3 kg | "yes" |\n', length),
  'a numbered table': (length) =>
    Array.from({ length: Math.ceil(length / 25) }, (_, i) => `| ${i} | the stone | 3 kg |\n`)
      .join('')
      .slice(0, length),
};

/** As a worker has it: put together from chunks. */
function deliveredOf(text: string): Delivered {
  const delivered = nothingDelivered();
  for (let at = 0; at < text.length; at += PIECE) {
    addText(delivered, '0:content', text.slice(at, at + PIECE));
  }
  return delivered;
}

const chunkOf = (content: string, finish: string | null = null) => ({
  id: 'chatcmpl-1',
  choices: [{ index: 0, delta: { content }, finish_reason: finish }],
});

const traits = {
  tools: false,
  thinking: false,
  json: false,
  repeats: false,
  choices: 1,
  endsWithAssistant: false,
};

/** Three targets are asked for their strategies; then the request is made, and its prompt estimated. Where there is no anchor, it is a replay. */
function step(delivered: Delivered): void {
  for (let target = 0; target < 3; target++) {
    const input = { delivered, traits, prefill: false, sameModel: false };
    Array.from(strategiesFor({ ...input, continuation: 'auto' }));
  }
  const text = delivered.texts.get('0:content') ?? '';
  const strategy = chooseAnchor(text) === undefined ? 'replay' : 'anchor';
  const asked = continuationBody('{"messages":[]}', strategy, text);
  createSpliceFilter(strategy, delivered, false);
  promptTokens(asked);
}

/** The reply has been parsed: what is measured is the splice filter. */
function behind(strategy: ContinuationStrategy, delivered: Delivered, reply: string): () => void {
  const chunks: object[] = [];
  for (let at = 0; at < reply.length; at += PIECE)
    chunks.push(chunkOf(reply.slice(at, at + PIECE)));
  return () => {
    const filter = createSpliceFilter(strategy, delivered, false);
    for (const chunk of chunks) if (filter.take(chunk, 100).kind === 'dropped') return;
  };
}

const cases: Record<string, (text: string) => () => void> = {
  anchor: (text) => {
    let round = 0;
    // Another text each time, because the last anchor is cached; flattened, as it is in later steps.
    const all = Array.from({ length: ROUNDS + 1 }, (_, n) => `${n}${text}`);
    for (const one of all) one.charCodeAt(0);
    return () => chooseAnchor(all[round++] ?? '');
  },
  'anchored step': (text) => {
    let round = 0;
    const all = Array.from({ length: ROUNDS + 1 }, (_, n) => deliveredOf(`${n}${text}`));
    return () => step(all[round++] ?? nothingDelivered());
  },
  'replay, 4 a chunk': (text) => behind('replay', deliveredOf(text), `${text} and on`),
  'continue anew, 4 a chunk': (text) => behind('continue', deliveredOf(text), `${text} and on`),
  'anchor, then 4 a chunk': (text) =>
    behind('anchor', deliveredOf(text), (chooseAnchor(text) ?? 'x') + text),
};

function median(run: () => void): string {
  const took: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const from = performance.now();
    run();
    if (round > 0) took.push(performance.now() - from);
  }
  return (took.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? NaN).toFixed(2);
}

console.log(`node ${process.version}, ms, median of ${ROUNDS}`);
for (const length of LENGTHS) {
  const table: Record<string, Record<string, string>> = {};
  for (const [title, make] of Object.entries(texts)) {
    const text = make(length);
    table[title] = Object.fromEntries(
      Object.entries(cases).map(([name, prepare]) => [name, median(prepare(text))]),
    );
  }
  console.log(`${length} characters`);
  console.table(table);
}
