import { isJsonObject } from '@millrace/shared/domain/json';

/* Removes from a provider's texts what clients must not see: the key, and account identifiers. */

/** Returns the text with secrets masked; the same text if there are none. */
export type Redact = (text: string) => string;

/**
 * The shortest key, in characters, that is searched for in a provider's texts. Shorter ones are placeholders
 * for servers that need no key (`x`, `none`): they are no secret and occur inside ordinary words.
 */
export const shortestKey = 8;
/** Length from which on a key without digits is a secret. */
const longestWords = 24;

/**
 * Whether a key is searched for in answers: placeholders such as `lm-studio` and `not-needed` are ordinary
 * words, which an answer may contain.
 */
export const isSecret = (key: string): boolean =>
  key.length >= longestWords || (key.length >= shortestKey && /\d/.test(key));

/** Consecutive letters and digits, ignoring all other characters, by which a part of a secret is recognised. */
const gramChars = 8;
/** Replaces a secret. */
export const mask = '***';

/**
 * Masks the secret in texts: complete or in parts of at least 8 characters, plain, in base64 or in hex, with
 * any characters between its letters and digits. Without a secret, or with a placeholder, it masks nothing.
 * Linear time.
 */
export function createRedactor(secret: string | undefined): Redact {
  if (secret === undefined || secret.length < shortestKey) return (text) => text;
  const grams = new Set(formsOf(secret).flatMap(gramsOf));
  if (grams.size === 0) return (text) => text.replaceAll(secret, mask);
  return (text) => hide(text.replaceAll(secret, mask), grams);
}

/** The encodings of a key; base64 has three, depending on its offset in the encoded text. */
export function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const shifted = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    // The characters at both ends also depend on the text beside the key.
    return text.slice(before === 0 ? 0 : before + 1, -4);
  });
  const hex = bytes.toString('hex');
  return [secret, ...shifted, hex, hex.toUpperCase()];
}

function gramsOf(form: string): string[] {
  const letters = form.replaceAll(notLetters, '');
  const grams: string[] = [];
  for (let at = 0; at + gramChars <= letters.length; at++) {
    grams.push(letters.slice(at, at + gramChars));
  }
  return grams;
}

const notLetters = /[^A-Za-z0-9]+/g;

/** Masks the parts of a text that the grams cover, from the first to the last letter of each run. */
function hide(text: string, grams: ReadonlySet<string>): string {
  const letters = text.replaceAll(notLetters, '');
  if (letters.length < gramChars) return text;
  /** Covered ranges, as indices among the letters. */
  const covered: [from: number, to: number][] = [];
  for (let at = 0; at + gramChars <= letters.length; at++) {
    if (!grams.has(letters.slice(at, at + gramChars))) continue;
    const last = covered.at(-1);
    if (last && at <= last[1]) last[1] = at + gramChars;
    else covered.push([at, at + gramChars]);
  }
  if (covered.length === 0) return text;
  let shown = '';
  let place = 0;
  let run = 0;
  for (const char of text) {
    const isLetter = /[A-Za-z0-9]/.test(char);
    const [from, to] = covered[run] ?? [Infinity, Infinity];
    const isInside = place > from || (isLetter && place === from);
    if (!isInside) shown += char;
    if (!isLetter) continue;
    place += 1;
    if (place < to) continue;
    shown += mask;
    run += 1;
  }
  return shown;
}

/** Account identifiers, and keys that providers have masked in part. Each pattern takes linear time. */
const identifiers: readonly RegExp[] = [
  // OpenAI, Groq: organisations and projects; OpenRouter, Anthropic and others: users, teams, workspaces. A
  // client's own names (`org_name`, `user_address1`) do not match: they have no capitals, and digits only at
  // the end.
  /\b(?:org|proj)[-_](?=[a-z]{0,64}[A-Z\d])[A-Za-z0-9]{3,}/g,
  /\b(?:acct|user|team|wrkspc|workspace)[-_](?=[A-Za-z]{0,64}\d[A-Za-z0-9]{2})[A-Za-z0-9]{5,}/g,
  // xAI, Anthropic, Fireworks, Google: an identifier inside a sentence.
  /(?<=\b(?:team|organi[sz]ation|account|project|workspace|tenant|subscription)s?[ :/#]{1,2}[`'"]?)(?=[\w.:-]{0,64}\d)[A-Za-z0-9][\w.:-]{2,}/gi,
  /\barn:aws[^\s"'`,)]+/g,
  // Keys as they are, or with their middle hidden by stars or dots.
  /\b(?:sk|gsk|xai|pplx|key|tgp|fw|csk|nvapi|hf|r8)[-_][A-Za-z0-9_-]{0,100}(?:\*{2,}|\.{3}|…)[A-Za-z0-9_-]{0,100}/g,
  /\b(?:sk|gsk|xai|pplx|tgp|fw|csk|nvapi|hf|r8)[-_][A-Za-z0-9_-]{16,}/g,
  /[A-Za-z0-9_-]{0,40}\*{4,}[A-Za-z0-9_-]{0,40}/g,
  /\b(?:AIza|AKIA|ASIA)[A-Za-z0-9_-]{12,}/g,
];

/** Masks the operator's account identifiers and partly masked keys in a text. */
export const maskIdentifiers: Redact = (text) =>
  identifiers.reduce((shown, pattern) => shown.replaceAll(pattern, mask), text);

/**
 * A copy of a JSON value with `change` applied to every text, including member names, and cut off below
 * `depth` levels: a value nested too deeply cannot be serialized.
 */
export function mapTexts(value: unknown, change: Redact, depth: number): unknown {
  if (typeof value === 'string') return change(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change, depth - 1));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [change(name), mapTexts(one, change, depth - 1)]),
  );
}
