import { bytesIn } from '@millrace/formats/pass-through/bytes';
import { eventIn, wholeOf } from '@millrace/formats/pass-through/events';
import { isFile } from '@millrace/formats/pass-through/form';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { Endpoint } from '@millrace/shared/domain/request';
import { refuse } from '../../errors.ts';
import type { Refused } from '../../errors.ts';
import { chatCompletions } from '../chat-completions/api.ts';
import { refuseType } from '../json-body.ts';
import type { ApiDescription } from '../openapi/client-api.ts';
import type { ClientApi } from '../port.ts';
import { continueResponse } from '../responses/conversation.ts';
import {
  compactDescription,
  embeddingsDescription,
  imageEditsDescription,
  imagesDescription,
  imageVariationsDescription,
  moderationsDescription,
  rerankDescription,
  speechDescription,
  transcriptionsDescription,
  translationsDescription,
} from './descriptions.ts';

/*
 * OpenAI's APIs whose requests and answers pass through (formats/src/pass-through). The log of a whole call has a result and no chunks,
 * that of a stream the provider's events. Errors have OpenAI's form.
 */

type Options = {
  /** Of a request that names none. */
  defaultModel?: string;
  takesForms?: true;
  /** Its answers may be anything but JSON. */
  hasBytes?: true;
  /** Its answers may be streamed. */
  streams?: true;
};

/** Streams of the provider's events. The name of an event stays, because clients of images expect one and others none. */
const streamed: Pick<ClientApi, 'encodeStream' | 'encodeEvents' | 'assemble'> = {
  encodeStream: ({ withIds }) => ({
    chunk(line) {
      const event = line.text[0] === 'c' ? eventIn(line.text.slice(1)) : undefined;
      if (!event) return '';
      const name = event.name === undefined ? '' : `event: ${event.name}\n`;
      const id = withIds ? `id: ${line.run}-${line.seq}\n` : '';
      return `${id}${name}data: ${event.data}\n\n`;
    },
    end: () => '',
    error: (error) => `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`,
  }),
  encodeEvents: () => ({
    chunk({ text }) {
      const event = text[0] === 'c' ? eventIn(text.slice(1)) : undefined;
      return event ? [event.data] : [];
    },
    end: () => [],
  }),
  assemble: (chunks) => wholeOf(chunks.map(eventIn).filter((event) => event !== undefined)),
};

/** The fields of a form are texts. */
const isTrue = (value: unknown): boolean => value === true || value === 'true';

/** `check`: refuses a body without a prompt that can be read. */
function passThroughApi(
  path: Endpoint,
  description: ApiDescription,
  check: (body: Record<string, unknown>) => Refused | undefined,
  { defaultModel, takesForms, hasBytes, streams }: Options = {},
): ClientApi {
  return {
    ...chatCompletions,
    path,
    description,
    ...(takesForms && { takesForms }),
    ...(hasBytes && { bytesOf: bytesIn }),
    ...(streams && streamed),
    parse(body) {
      const stream = isTrue(body['stream']);
      const model = body['model'] ?? defaultModel;
      if (model === undefined || model === '') {
        return refuse('invalid_request', {
          message: 'You must provide a model parameter.',
          param: 'model',
        });
      }
      if (typeof model !== 'string') return refuseType('model', 'a string', model);
      if (stream && !streams) {
        return refuse('invalid_value', {
          param: 'stream',
          expected: `false, because ${path} has no streams`,
        });
      }
      return check(body) ?? { kind: 'parsed', model, stream, includeUsage: false };
    },
  };
}

/** A text, or a list that is not empty: of texts, of tokens, or of parts. The provider checks its items. */
function checkInput({ input }: Record<string, unknown>): Refused | undefined {
  if (Array.isArray(input)) {
    return input.length === 0 ? refuse('empty_array', { param: 'input' }) : undefined;
  }
  return typeof input === 'string' ? undefined : refuseType('input', 'a string or an array', input);
}

export const embeddings = passThroughApi('/v1/embeddings', embeddingsDescription, checkInput);

/** Of a conversation in OpenAI's Responses API. Only the API that made the result can read it. */
export const compactResponses: ClientApi = {
  ...passThroughApi('/v1/responses/compact', compactDescription, checkInput),
  resolve: continueResponse,
};

/** OpenAI's own default. */
export const moderations = passThroughApi('/v1/moderations', moderationsDescription, checkInput, {
  defaultModel: 'omni-moderation-latest',
});

/** As Cohere, Jina, Voyage and vLLM have it; OpenAI has none. Some of them also rank images, which are objects. */
export const rerank = passThroughApi('/v1/rerank', rerankDescription, ({ query, documents }) => {
  if (query === undefined || query === null || query === '') {
    return refuse('missing_required_parameter', { param: 'query' });
  }
  if (!Array.isArray(documents)) return refuseType('documents', 'an array', documents);
  return documents.length === 0 ? refuse('empty_array', { param: 'documents' }) : undefined;
});

const checkText =
  (param: string) =>
  (body: Record<string, unknown>): Refused | undefined =>
    typeof body[param] === 'string' ? undefined : refuseType(param, 'a string', body[param]);

const files = 'a file, or in JSON an object with its bytes as a data URL in `data`';

const checkFile =
  (param: string) =>
  (body: Record<string, unknown>): Refused | undefined =>
    isFile(body[param]) ? undefined : refuseType(param, files, body[param]);

/** Of several images the field has brackets in its name. */
function checkImages(body: Record<string, unknown>): Refused | undefined {
  const name = body['image'] === undefined && body['image[]'] !== undefined ? 'image[]' : 'image';
  const value = body[name];
  const all: readonly unknown[] = Array.isArray(value) && value.length > 0 ? value : [value];
  return all.every(isFile) ? undefined : refuseType(name, files, value);
}

export const imageGenerations = passThroughApi(
  '/v1/images/generations',
  imagesDescription,
  checkText('prompt'),
  { streams: true },
);

export const imageEdits = passThroughApi(
  '/v1/images/edits',
  imageEditsDescription,
  (body) => checkImages(body) ?? checkText('prompt')(body),
  { takesForms: true, streams: true },
);

export const imageVariations = passThroughApi(
  '/v1/images/variations',
  imageVariationsDescription,
  checkFile('image'),
  { takesForms: true },
);

const wholeSpeech = passThroughApi('/v1/audio/speech', speechDescription, checkText('input'), {
  hasBytes: true,
});

/**
 * Over HTTP audio comes as the provider makes it: as bytes, or as events for `stream_format: sse`. In jobs and on WebSockets it is one piece
 * unless the request names a `stream_format`; its events have the bytes in base64.
 */
export const speech: ClientApi = {
  ...wholeSpeech,
  ...streamed,
  streamsBytes: ({ echo }) => isJsonObject(echo) && echo['stream_format'] === 'audio',
  parse(body, headers) {
    const { stream_format: format } = body;
    if (format !== undefined && format !== null && format !== 'sse' && format !== 'audio') {
      return refuse('invalid_value', { param: 'stream_format', expected: "'audio' or 'sse'" });
    }
    const parsed = wholeSpeech.parse(body, headers);
    if (parsed.kind === 'refused') return parsed;
    const stream = headers !== undefined || typeof format === 'string';
    return { ...parsed, stream, echo: { stream_format: format === 'sse' ? 'sse' : 'audio' } };
  },
};

const forTranscripts = { takesForms: true, hasBytes: true } as const;

export const transcriptions = passThroughApi(
  '/v1/audio/transcriptions',
  transcriptionsDescription,
  checkFile('file'),
  { ...forTranscripts, streams: true },
);

export const translations = passThroughApi(
  '/v1/audio/translations',
  translationsDescription,
  checkFile('file'),
  forTranscripts,
);
