import { bytesIn } from '@millrace/formats/pass-through/bytes';
import { isFile } from '@millrace/formats/pass-through/form';
import type { Endpoint } from '@millrace/shared/domain/request';
import { refuse } from '../../errors.ts';
import type { Refused } from '../../errors.ts';
import { chatCompletions } from '../chat-completions/api.ts';
import { refuseType } from '../json-body.ts';
import type { ApiDescription } from '../openapi/client-api.ts';
import type { ClientApi } from '../port.ts';
import {
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
 * OpenAI's APIs whose requests and answers pass through (formats/src/pass-through). They are whole calls: their logs have a
 * result and no chunks. Errors have OpenAI's form.
 */

type Options = {
  /** Of a request that names none. */
  defaultModel?: string;
  takesForms?: true;
  /** Its answers may be anything but JSON. */
  hasBytes?: true;
};

/** `check`: refuses a body without a prompt that can be read. */
function passThroughApi(
  path: Endpoint,
  description: ApiDescription,
  check: (body: Record<string, unknown>) => Refused | undefined,
  { defaultModel, takesForms, hasBytes }: Options = {},
): ClientApi {
  return {
    ...chatCompletions,
    path,
    description,
    ...(takesForms && { takesForms }),
    ...(hasBytes && { bytesOf: bytesIn }),
    parse(body) {
      const { stream } = body;
      const model = body['model'] ?? defaultModel;
      if (model === undefined || model === '') {
        return refuse('invalid_request', {
          message: 'You must provide a model parameter.',
          param: 'model',
        });
      }
      if (typeof model !== 'string') return refuseType('model', 'a string', model);
      // The fields of a form are texts.
      if (stream === true || stream === 'true') {
        return refuse('invalid_value', {
          param: 'stream',
          expected: `false, because ${path} has no streams`,
        });
      }
      return check(body) ?? { kind: 'parsed', model, stream: false, includeUsage: false };
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
);

export const imageEdits = passThroughApi(
  '/v1/images/edits',
  imageEditsDescription,
  (body) => checkImages(body) ?? checkText('prompt')(body),
  { takesForms: true },
);

export const imageVariations = passThroughApi(
  '/v1/images/variations',
  imageVariationsDescription,
  checkFile('image'),
  { takesForms: true },
);

export const speech = passThroughApi(
  '/v1/audio/speech',
  speechDescription,
  (body) => {
    if (body['stream_format'] === 'sse') {
      return refuse('invalid_value', {
        param: 'stream_format',
        expected: "'audio', because the answer has one piece",
      });
    }
    return checkText('input')(body);
  },
  { hasBytes: true },
);

const forTranscripts = { takesForms: true, hasBytes: true } as const;

export const transcriptions = passThroughApi(
  '/v1/audio/transcriptions',
  transcriptionsDescription,
  checkFile('file'),
  forTranscripts,
);

export const translations = passThroughApi(
  '/v1/audio/translations',
  translationsDescription,
  checkFile('file'),
  forTranscripts,
);
