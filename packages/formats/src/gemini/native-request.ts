import { isJsonObject, itemsOf } from '@millrace/shared/domain/json';
import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { parseExactly } from '../exact-json.ts';
import type { NativeCall, ProviderCall } from '../port.ts';
import { traitsOf } from './models.ts';
import { noSignature } from './signatures.ts';

/** Members that a request of our clients has from its URL. */
export const urlMembers = ['model', 'stream', 'alt'] as const;

/** A client's own body for a provider of the same format: only what continues an answer, and missing signatures, are added. */
export function nativeRequest(
  { body, turns }: NativeCall,
  { model, body: inner }: Pick<ProviderCall, 'model' | 'body'>,
): string {
  const own = urlMembers.reduce(withoutMember, body);
  const members: Record<string, string> = {};
  const contents = memberText(own, 'contents') ?? '[]';
  const marks = traitsOf(model).signedCalls && /"function_?[Cc]all"/.test(contents);
  if (turns.length > 0 || marks) {
    const all = itemsOf(parseExactly(contents));
    const more = turns.map(({ role, content }) => ({
      role: role === 'assistant' ? 'model' : 'user',
      parts: [{ text: content }],
    }));
    members['contents'] = JSON.stringify([...(marks ? all.map(withSignature) : all), ...more]);
  }
  // What was delivered already counts against the limit.
  const limit = turns.length > 0 ? memberText(inner, 'max_tokens') : undefined;
  if (limit !== undefined) {
    const name = nameIn(own, 'generationConfig', 'generation_config');
    const present = memberText(own, name) ?? '';
    const config = present.startsWith('{') ? present : '{}';
    const limitName = nameIn(config, 'maxOutputTokens', 'max_output_tokens');
    members[name] = setMembers(config, { [limitName]: limit });
  }
  return Object.keys(members).length > 0 ? setMembers(own, members) : own;
}

/** Of the two names of a member the one that is there: Google rejects an object with both. */
const nameIn = (text: string, name: string, older: string): string =>
  memberText(text, name) === undefined && memberText(text, older) !== undefined ? older : name;

/** The first call of a content without a signature is one of another vendor's model. */
function withSignature(content: unknown): unknown {
  if (!isJsonObject(content) || !Array.isArray(content['parts'])) return content;
  const parts = content['parts'] as unknown[];
  const first = parts.findIndex(isCall);
  const call = parts[first];
  if (!isJsonObject(call) || 'thoughtSignature' in call || 'thought_signature' in call) {
    return content;
  }
  return { ...content, parts: parts.with(first, { ...call, thoughtSignature: noSignature }) };
}

const isCall = (part: unknown): boolean =>
  isJsonObject(part) && ('functionCall' in part || 'function_call' in part);
