import type { IncomingHttpHeaders } from 'node:http';
import { anthropicMessages } from './anthropic-messages/format.ts';
import { openAiChat } from './openai-chat/format.ts';
import type { WireFormat } from './steps.ts';

/** Another provider API is another entry. */
const FORMATS: readonly WireFormat[] = [openAiChat, anthropicMessages];

export function formatAt(path: string): WireFormat | undefined {
  return FORMATS.find((format) => format.path === path);
}

/** Where the path does not tell: the format that this client's headers are of. */
export function formatOf(headers: IncomingHttpHeaders): WireFormat {
  const anthropic = headers['anthropic-version'] ?? headers['x-api-key'];
  return anthropic === undefined ? openAiChat : anthropicMessages;
}
