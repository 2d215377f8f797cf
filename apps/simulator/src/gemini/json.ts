import type { Call, FinishReason, Identity, Usage } from '../steps.ts';
import { VENDOR_DELTA, VENDOR_FIELD } from '../vendor.ts';

/** The reason of an end. Google has none for a refusal, which is a text here. */
export function finishReason(reason: FinishReason): string {
  switch (reason) {
    case 'length':
      return 'MAX_TOKENS';
    case 'content_filter':
      return 'SAFETY';
    default:
      return 'STOP';
  }
}

/** The running total of the usage; without counts of the answer while it has none. */
export function usageJson(prompt: number, usage: Usage | undefined): string {
  const answer = usage === undefined ? 0 : usage.completion - usage.reasoning;
  const thoughts = usage?.reasoning ?? 0;
  const counts = [
    `"promptTokenCount":${prompt}`,
    ...(answer > 0 ? [`"candidatesTokenCount":${answer}`] : []),
    `"totalTokenCount":${prompt + answer + thoughts}`,
    `"promptTokensDetails":[{"modality":"TEXT","tokenCount":${prompt}}]`,
    ...(thoughts > 0 ? [`"thoughtsTokenCount":${thoughts}`] : []),
  ];
  return `{${counts.join(',')}}`;
}

export function textPart(text: string, { thought = false, vendor = false } = {}): string {
  const fields = `"text":${JSON.stringify(text)}${thought ? ',"thought":true' : ''}`;
  return `{${fields}${vendor ? VENDOR_DELTA : ''}}`;
}

export interface FunctionCall {
  readonly call: number;
  readonly name: string;
  args: string;
}

/** Only the first of the calls that are made together is signed. */
export function callPart({ call, name, args }: FunctionCall, { id }: Identity): string {
  const signature = call === 0 ? `,"thoughtSignature":"${SIGNATURE}"` : '';
  const called = `"name":${JSON.stringify(name)},"args":${args || '{}'},"id":"${id.slice(1, -1)}_${call}"`;
  return `{"functionCall":{${called}}${signature}}`;
}

export function candidateJson(index: number, parts: readonly string[], reason?: string): string {
  const finish = reason === undefined ? '' : `,"finishReason":"${reason}"`;
  // Google's last event has an empty text; its SDKs drop the answer of a chat if an event has no part.
  const present = parts.length > 0 ? parts.join(',') : '{"text":""}';
  return `{"content":{"parts":[${present}],"role":"model"}${finish},"index":${index}}`;
}

/** One response: an event of a stream, or a whole answer. */
export function responseJson(
  { asked, options }: Call,
  { id }: Identity,
  {
    candidates,
    usage,
    extra,
  }: {
    candidates: readonly string[];
    usage: Usage | undefined;
    extra?: Readonly<Record<string, string>> | undefined;
  },
): string {
  const echoed = extra === undefined ? '' : `,"xEchoHeaders":${JSON.stringify(extra)}`;
  const vendor = options.vendor === 1 ? VENDOR_FIELD : '';
  return (
    `{"candidates":[${candidates.join(',')}],"usageMetadata":${usageJson(asked.promptTokens, usage)},` +
    `"modelVersion":${JSON.stringify(asked.model)},"responseId":${id}${echoed}${vendor}}`
  );
}

/** Stands for Google's signature of its thoughts. */
export const SIGNATURE = Buffer.from('simulated signature').toString('base64');
