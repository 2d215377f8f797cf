import type { IncomingHttpHeaders } from 'node:http';
import type { ProviderApi } from '@millrace/shared/domain/provider-api';
import { anthropicMessages } from './anthropic-messages/format.ts';
import { geminiEmbeddings } from './gemini/embeddings.ts';
import { gemini } from './gemini/format.ts';
import { openAiChat } from './openai-chat/format.ts';
import { openAiCompletions } from './openai-completions/format.ts';
import { mediaFormats } from './openai-pass-through/media.ts';
import { passThroughFormats } from './openai-pass-through/formats.ts';
import { openAiResponses } from './openai-responses/format.ts';
import type { WireFormat } from './steps.ts';

/**
 * One for each provider format of the worker, written without the worker's code, so that each side checks the
 * other.
 */
const formats: Readonly<Record<ProviderApi, WireFormat>> = {
  openai: openAiChat,
  anthropic: anthropicMessages,
  'openai-responses': openAiResponses,
  gemini,
};

const all: readonly WireFormat[] = [
  ...Object.values(formats),
  openAiCompletions,
  ...passThroughFormats,
  ...mediaFormats,
  geminiEmbeddings,
];

export const formatAt = (path: string): WireFormat | undefined =>
  all.find((format) => format.serves(path));

/** The format of a client by its headers, if the path does not determine it. */
export const formatOf = (headers: IncomingHttpHeaders): WireFormat =>
  Object.values(formats).find((format) => format.hasSent?.(headers)) ?? formats.openai;
