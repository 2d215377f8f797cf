import { topLevelMembers } from './json-text.ts';

/** Bytes of English text in a token; other texts have fewer, and settling corrects it. */
const bytesPerToken = 4;
/** Tokens of an answer whose length the request does not bound. */
const usualAnswer = 500;
/** Tokens of a picture or a file that is in the body: about what providers count, whatever its bytes. */
const tokensPerFile = 1000;
/** More than anybody uses, or may: sums of such numbers are exact, here and in Redis. */
const mostTokens = 1e12;

/** What a request may use, before anybody knows: as providers do, the prompt and the longest answer. */
export function estimateTokens(body: string): number {
  const { bytes, files } = textIn(body);
  const members = topLevelMembers(body);
  const count = (name: string): number | undefined => {
    const span = members.get(name);
    const value = span ? Number(body.slice(span.start, span.end)) : 0;
    return Number.isInteger(value) && value > 0 ? value : undefined;
  };
  const longest = count('max_completion_tokens') ?? count('max_tokens');
  const answers = count('n') ?? 1;
  const tokens =
    Math.ceil(bytes / bytesPerToken) + files * tokensPerFile + (longest ?? usualAnswer) * answers;
  return Math.min(tokens, mostTokens);
}

/** What a finished answer used; undefined when its usage does not say. */
export function tokensUsed(usage: unknown): number | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const { total_tokens, prompt_tokens, completion_tokens } = usage as Record<string, unknown>;
  const count = (value: unknown) =>
    typeof value === 'number' && value >= 0 && value <= mostTokens ? Math.round(value) : undefined;
  const [prompt, completion] = [count(prompt_tokens), count(completion_tokens)];
  const sum =
    prompt === undefined && completion === undefined
      ? undefined
      : (prompt ?? 0) + (completion ?? 0);
  return count(total_tokens) ?? sum;
}

/** The body's length without what is in it as base64. */
function textIn(body: string): { bytes: number; files: number } {
  const mark = ';base64,';
  let bytes = body.length;
  let files = 0;
  for (let at = body.indexOf(mark); at !== -1; at = body.indexOf(mark, at + 1)) {
    const end = body.indexOf('"', at);
    if (end === -1) break;
    bytes -= end - at;
    files += 1;
    at = end;
  }
  return { bytes, files };
}
