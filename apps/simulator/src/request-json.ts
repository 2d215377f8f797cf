// Reads request bodies of any content, common to the wire formats.

export type JsonObject = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function records(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

/** The text of a message: a string, or its parts of type text. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return records(content)
    .map((part) => (typeof part['text'] === 'string' ? part['text'] : ''))
    .join('');
}

/** The usual estimate: four characters per token and three tokens per message. */
export function estimatedTokens(text: string, messages: number): number {
  return Math.ceil(text.length / 4) + 3 * messages;
}
