/** The first `maxChars` characters, as a text that every database takes: PostgreSQL's have no NUL character. */
export const safeText = (text: string, maxChars: number): string =>
  text.slice(0, maxChars).replaceAll('\0', '\uFFFD');
