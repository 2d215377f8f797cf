/**
 * Most chunks of a stream differ from the one before only in the text of `content`. Once one of them
 * was parsed and understood, its text around that string is a template: a later chunk that has the
 * same text around a plain string says the same things about everything else, and need not be parsed.
 *
 *   {"id":"x",…,"delta":{"content":" hello"},…,"finish_reason":null}]}
 *   └───────────── prefix ──────────┘└text─┘└──────── suffix ────────┘
 */
export type ChunkTemplate = { prefix: string; suffix: string };

const marker = '"content":"';

/** A text that needs no look: no escape, no end of the string, nothing that JSON forbids in one. */
const special = /["\\\p{Cc}]/u;

/**
 * The template of a chunk of which the caller knows that it is valid JSON and says nothing but its
 * content. Undefined when it has not exactly one string of that name.
 */
export function templateOf(text: string): ChunkTemplate | undefined {
  const at = text.indexOf(marker);
  if (at < 0 || text.includes(marker, at + 1)) return undefined;
  const start = at + marker.length;
  const end = text.indexOf('"', start);
  if (end < 0 || special.test(text.slice(start, end))) return undefined;
  return { prefix: text.slice(0, start), suffix: text.slice(end) };
}

/** The content of a chunk that is the template's but for it; undefined when it is another, or empty. */
export function contentIn({ prefix, suffix }: ChunkTemplate, text: string): string | undefined {
  const end = text.length - suffix.length;
  if (end <= prefix.length || !text.startsWith(prefix) || !text.endsWith(suffix)) return undefined;
  const content = text.slice(prefix.length, end);
  return special.test(content) ? undefined : content;
}

/** The template's chunk with this content, spelled as `contentIn` gives it. */
export const withContent = ({ prefix, suffix }: ChunkTemplate, content: string): string =>
  prefix + content + suffix;
