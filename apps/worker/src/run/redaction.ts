import { isJsonObject } from '@millrace/shared/domain/json';

/* What a provider may not tell a client: the key that it was sent, and whose account it is. */

/** Changes a text; the same text where there is nothing to hide. */
export type Redact = (text: string) => string;

/**
 * Characters of a key that is looked for in what a provider says. Shorter ones are placeholders for
 * servers that want none (`x`, `none`): no secret, and a part of half the words there are.
 */
export const shortestKey = 8;
/** Characters from which on a key of words alone is a secret. */
const longestWords = 24;

/**
 * Whether a key is looked for in answers: `lm-studio` and `not-needed` are words that an answer may have,
 * and what people write where a server wants no key.
 */
export const isSecret = (key: string): boolean =>
  key.length >= longestWords || (key.length >= shortestKey && /\d/.test(key));

/** Characters in a row, apart from all but letters and digits, by which a part of a secret is known. */
const gramChars = 8;
/** Stands where a secret stood. */
export const mask = '***';

/**
 * Takes the secret out of texts: whole or in parts of 8 characters and more, as it is, in base64 or hex,
 * whatever stands between its letters and digits. Without a secret, or with a placeholder, nothing is
 * hidden. Time is linear in the text.
 */
export function createRedactor(secret: string | undefined): Redact {
  if (secret === undefined || secret.length < shortestKey) return (text) => text;
  const grams = new Set(formsOf(secret).flatMap(gramsOf));
  if (grams.size === 0) return (text) => text.replaceAll(secret, mask);
  return (text) => hide(text.replaceAll(secret, mask), grams);
}

/** What a key turns into on its way through encoders; base64 has three forms, by what stands before it. */
export function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const shifted = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    // The characters at both ends also depend on what stands beside it.
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

/** Masks what the grams cover, from the first to the last letter of each run. */
function hide(text: string, grams: ReadonlySet<string>): string {
  const letters = text.replaceAll(notLetters, '');
  if (letters.length < gramChars) return text;
  /** Ends and beginnings of what is covered, as places among the letters. */
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

/** What tells whose account it is, and keys that providers have masked in part. Each takes linear time. */
const identifiers: readonly RegExp[] = [
  // OpenAI, Groq: organisations and projects; OpenRouter, Anthropic and others: users, teams, workspaces.
  // A client's own names (`org_name`, `user_address1`) look otherwise: no capitals, digits at the end at most.
  /\b(?:org|proj)[-_](?=[a-z]{0,64}[A-Z\d])[A-Za-z0-9]{3,}/g,
  /\b(?:acct|user|team|wrkspc|workspace)[-_](?=[A-Za-z]{0,64}\d[A-Za-z0-9]{2})[A-Za-z0-9]{5,}/g,
  // xAI, Anthropic, Fireworks, Google: the same in a sentence.
  /(?<=\b(?:team|organi[sz]ation|account|project|workspace|tenant|subscription)s?[ :/#]{1,2}[`'"]?)(?=[\w.:-]{0,64}\d)[A-Za-z0-9][\w.:-]{2,}/gi,
  /\barn:aws[^\s"'`,)]+/g,
  // Keys as they are, or with their middle hidden by stars or dots.
  /\b(?:sk|gsk|xai|pplx|key|tgp|fw|csk|nvapi|hf|r8)[-_][A-Za-z0-9_-]{0,100}(?:\*{2,}|\.{3}|…)[A-Za-z0-9_-]{0,100}/g,
  /\b(?:sk|gsk|xai|pplx|tgp|fw|csk|nvapi|hf|r8)[-_][A-Za-z0-9_-]{16,}/g,
  /[A-Za-z0-9_-]{0,40}\*{4,}[A-Za-z0-9_-]{0,40}/g,
  /\b(?:AIza|AKIA|ASIA)[A-Za-z0-9_-]{12,}/g,
];

/** Takes the operator's account and parts of its keys out of a text. */
export const maskIdentifiers: Redact = (text) =>
  identifiers.reduce((shown, pattern) => shown.replaceAll(pattern, mask), text);

/**
 * A copy of a JSON value with every text in it changed, the names of members too, cut off below `depth`
 * levels: what is deeper than a reader can use cannot be written either.
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
