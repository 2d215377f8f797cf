import type { JsonObject } from '@millrace/shared/domain/json';
import {
  choiceIndex,
  finishReasons,
  reasoningPartFields,
  visibility,
} from '@millrace/formats/openai-chat/chunk';
import { isJsonObject, parseShallow, itemsOf } from '@millrace/shared/domain/json';
import { nativeMember } from '@millrace/formats/client-port';
import type { AnswerSink } from '@millrace/formats/port';
import { formsOf, isSecret, mapTexts, mask, shortestKey } from './redaction.ts';
import type { Redact } from './redaction.ts';

/*
 * Removes the key from answers of a provider that repeats it: by mistake, as a server that echoes the
 * request's headers does, or on purpose. Unlike in an error, nothing else is masked by guess: only the key
 * itself is removed, in each of its encodings, and literally if it is spread over many chunks.
 */

/** Leading characters of a key that may be delivered before it is recognised: its kind, as `sk-proj-`. */
const visibleChars = 8;
/** The most text paths that are tracked; a provider uses a handful. */
const maxPaths = 64;
const maxDepth = 100;

/** Wraps a sink so that it receives everything but the key. Without a secret it is the same sink. */
export function redactSink(sink: AnswerSink, secret: string | undefined): AnswerSink {
  if (secret === undefined || !isSecret(secret)) return sink;
  const hide = createMasker(secret);
  const matchers = new Map<string, KeyMatcher>();

  /** Matches the texts at one path of all chunks as one text. */
  function match(place: string, text: string): string {
    let matcher = matchers.get(place);
    if (!matcher) {
      if (matchers.size >= maxPaths) return hide(text);
      matchers.set(place, (matcher = createKeyMatcher(secret ?? '')));
    }
    return matcher.take(hide(text));
  }

  /**
   * Writes the held text of a choice as a chunk of its own: before the end of the choice, and before other
   * texts of it. `nextPaths`: the paths of the texts in the next chunk.
   */
  function writeHeld(chunk: JsonObject, nextPaths: ReadonlySet<string>): void {
    const ends = new Set(finishReasons(chunk).map(({ index }) => index));
    for (const [place, choice] of itemsOf(chunk['choices']).entries()) {
      if (!isJsonObject(choice)) continue;
      const index = choiceIndex(choice, place);
      const ownPlaces = `choices.${index}.delta.`;
      const isOver = ends.has(index) || [...nextPaths].some((one) => one.startsWith(ownPlaces));
      for (const [where, matcher] of isOver ? matchers : []) {
        if (!where.startsWith(ownPlaces) || nextPaths.has(where)) continue;
        const held = matcher.flush();
        if (held === '') continue;
        const delta = nested(where.slice(ownPlaces.length).split('.'), held);
        const { [nativeMember]: _native, ...rest } = chunk;
        const more = { ...rest, choices: [{ index, delta, finish_reason: null }] };
        sink.chunk(JSON.stringify(more), more, true);
      }
    }
  }

  const content = 'choices.0.delta.content';
  const contentMatcher = createKeyMatcher(secret);
  matchers.set(content, contentMatcher);
  const onlyContent: ReadonlySet<string> = new Set([content]);
  const mayBeginIn = beginningOf(secret);
  function isHolding(): boolean {
    for (const one of matchers.values()) if (one.isHolding) return true;
    return false;
  }
  function isMatching(): boolean {
    for (const one of matchers.values()) if (one.isMatching) return true;
    return false;
  }
  return {
    plain(text, said) {
      if (matchers.size > 1 && isHolding())
        writeHeld(parseShallow(text) as JsonObject, onlyContent);
      const shown = contentMatcher.take(hide(said));
      if (shown === said) sink.plain(text, said);
      else if (shown !== '') {
        const chunk = replace(parseShallow(text), '', (place, one) =>
          place === content ? shown : hide(one),
        );
        sink.plain(JSON.stringify(chunk), shown);
      }
    },
    chunk(text, chunk, visible) {
      let isChanged = hide(text) !== text;
      if (!isChanged && !mayBeginIn(text) && !isMatching()) {
        sink.chunk(text, chunk, visible);
        return;
      }
      const ends = finishReasons(chunk).map(({ index }) => `choices.${index}.`);
      const wasHolding = isHolding();
      const nextPaths = new Set<string>();
      const clean = replace(chunk, '', (place, one) => {
        // Texts outside of choices, such as the id, are the same in every chunk and not part of a longer
        // text.
        if (!textPlaces.some((start) => place.startsWith(start))) return one;
        if (one !== '') nextPaths.add(place);
        const isEnd = ends.some((choice) => place.startsWith(choice));
        const shown = match(place, one) + (isEnd ? (matchers.get(place)?.flush() ?? '') : '');
        isChanged ||= shown !== one;
        return shown;
      });
      if (wasHolding && isJsonObject(clean)) writeHeld(clean, nextPaths);
      if (isChanged) {
        const shown = mapTexts(withoutStaleEvent(clean as JsonObject, chunk), hide, maxDepth);
        const isVisible = visible || visibility(shown) === 'visible';
        sink.chunk(JSON.stringify(shown), shown, isVisible);
      } else sink.chunk(text, chunk, visible);
    },
    usage: (text) => sink.usage(hide(text)),
  };
}

/** The paths of an answer's texts: in a chunk, and in a provider's own event: Anthropic's and OpenAI's `delta`, Gemini's candidates. */
const textPlaces = ['choices.', `${nativeMember}.delta`, `${nativeMember}.candidates.`];

/** Without the provider's event, which has the text as it was before, unless only the event has a text. `before`: with the key. */
function withoutStaleEvent(clean: JsonObject, before: unknown): JsonObject {
  if (visibility(before) === 'empty') return clean;
  const { [nativeMember]: _event, ...chunk } = clean;
  return chunk;
}

/** A complete answer without the key, as JSON text; the same text if the key is not in it. */
export function redactBody(body: string, secret: string | undefined): string {
  if (secret === undefined || !isSecret(secret)) return body;
  return createMasker(secret)(body);
}

/** Masks every complete occurrence of the secret, in each of its encodings. */
function createMasker(secret: string): Redact {
  const forms = formsOf(secret).filter(({ length }) => length >= shortestKey);
  return (text) =>
    text.length < shortestKey
      ? text
      : forms.reduce(
          (shown, form) => (shown.includes(form) ? shown.replaceAll(form, mask) : shown),
          text,
        );
}

type KeyMatcher = {
  /** Returns the part of the held text and of the next piece that may pass. */
  take: Redact;
  /** Returns the held part when the text has ended. */
  flush(): string;
  readonly isHolding: boolean;
  /** The text so far ends with the beginning of the secret. */
  readonly isMatching: boolean;
};

/**
 * Searches a text that comes in pieces. What may be the secret is held back from its ninth character on and
 * released with the piece that proves it is not (Knuth, Morris and Pratt). The time for a piece is linear in
 * its length.
 */
function createKeyMatcher(secret: string): KeyMatcher {
  const borders = bordersOf(secret);
  const shown = Math.min(visibleChars, Math.floor(secret.length / 2));
  const [first, second] = [secret.charAt(0), secret.charAt(1)];
  /** The index at which the secret may begin next; -1 if there is none, as in most pieces. */
  function beginning(piece: string, from: number): number {
    let at = piece.indexOf(first, from);
    while (at >= 0 && at + 1 < piece.length && piece.charAt(at + 1) !== second) {
      at = piece.indexOf(first, at + 1);
    }
    return at;
  }
  /** Length of the secret's prefix at the end of the text so far. */
  let matched = 0;
  let held = '';
  function take(piece: string): string {
    let output = '';
    for (let at = 0; at < piece.length; at++) {
      if (matched === 0) {
        const next = beginning(piece, at);
        if (next < 0) return output === '' && at === 0 ? piece : output + piece.slice(at);
        output += piece.slice(at, next);
        at = next;
      }
      const char = piece.charAt(at);
      held += char;
      while (matched > 0 && secret.charAt(matched) !== char) matched = borders[matched - 1] ?? 0;
      if (secret.charAt(matched) === char) matched += 1;
      const isWhole = matched === secret.length;
      const kept = Math.max(0, matched - shown);
      output += held.slice(0, held.length - kept) + (isWhole ? mask : '');
      held = isWhole ? '' : held.slice(held.length - kept);
      if (isWhole) matched = 0;
    }
    return output;
  }
  return {
    take,
    flush() {
      const rest = held;
      held = '';
      matched = 0;
      return rest;
    },
    get isHolding() {
      return held !== '';
    },
    get isMatching() {
      return matched > 0;
    },
  };
}

/**
 * Whether the secret may begin inside or at the end of a text in a chunk's JSON: most chunks pass without a
 * look at their texts. Escaped characters may be anything.
 */
function beginningOf(secret: string): (json: string) => boolean {
  const [first = '', second = ''] = secret;
  // The end of a text, not of a member's name.
  const end = /"\s*[,}\]]/y;
  return (json) => {
    if (json.includes('\\')) return true;
    for (let at = json.indexOf(first); at >= 0; at = json.indexOf(first, at + 1)) {
      if (json.startsWith(second, at + 1)) return true;
      end.lastIndex = at + 1;
      if (end.test(json)) return true;
    }
    return false;
  };
}

/** Builds the object with a text at this path, as `replace` names it. */
function nested([first = '', ...rest]: readonly string[], text: string): JsonObject {
  const [next, ...others] = rest;
  if (next === undefined) return { [first]: text };
  if (!/^\d+$/.test(next)) return { [first]: nested(rest, text) };
  const [field = ''] = others;
  if (field === '') return { [first]: [text] };
  // Deltas of calls are identified by their index, parts by their type.
  const label = first === 'tool_calls' ? {} : { type: typeOfPart(first, field) };
  const index = numberedLists.has(first) ? { index: Number(next) } : {};
  return { [first]: [{ ...label, ...index, ...nested(others, text) }] };
}

const numberedLists: ReadonlySet<string> = new Set(['tool_calls', ...reasoningPartFields]);

const typeOfPart = (list: string, field: string): string =>
  list === 'reasoning_details' ? `reasoning.${field}` : field;

/**
 * The border table of Knuth, Morris and Pratt: for each prefix, the length of its longest proper suffix that
 * is also a prefix.
 */
function bordersOf(text: string): number[] {
  const borders = [0];
  for (let at = 1, length = 0; at < text.length; at++) {
    while (length > 0 && text.charAt(at) !== text.charAt(length)) length = borders[length - 1] ?? 0;
    if (text.charAt(at) === text.charAt(length)) length += 1;
    borders.push(length);
  }
  return borders;
}

type Change = (place: string, text: string) => string;

/** A copy in which `change` was applied to every text. Choices and tool calls are identified by their own index. */
function replace(value: unknown, place: string, change: Change): unknown {
  if (typeof value === 'string') return change(place, value);
  if (Array.isArray(value)) {
    return value.map((item: unknown, at) => {
      const index = isJsonObject(item) && typeof item['index'] === 'number' ? item['index'] : at;
      return replace(item, `${place}.${index}`, change);
    });
  }
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      name,
      replace(one, place === '' ? name : `${place}.${name}`, change),
    ]),
  );
}
