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

/** Characters that are not plain: an escape, the end of the string, and those that JSON forbids in one. */
const special = /["\\\p{Cc}]/u;

/**
 * The template of a chunk that, as the caller has checked, is valid JSON and only adds content. Undefined
 * unless it has exactly one string of that name.
 */
export function templateOf(text: string): ChunkTemplate | undefined {
  const at = text.indexOf(marker);
  if (at < 0 || text.includes(marker, at + 1)) return undefined;
  const start = at + marker.length;
  const end = text.indexOf('"', start);
  if (end < 0 || special.test(text.slice(start, end))) return undefined;
  return { prefix: text.slice(0, start), suffix: text.slice(end) };
}

/**
 * The content of a chunk that equals the template otherwise; undefined if it does not, or if the content is
 * empty.
 */
export function contentIn({ prefix, suffix }: ChunkTemplate, text: string): string | undefined {
  const end = text.length - suffix.length;
  if (end <= prefix.length || !text.startsWith(prefix) || !text.endsWith(suffix)) return undefined;
  const content = text.slice(prefix.length, end);
  return special.test(content) ? undefined : content;
}

/** The template's chunk with this content, escaped as `contentIn` returns it. */
export const withContent = ({ prefix, suffix }: ChunkTemplate, content: string): string =>
  prefix + content + suffix;
