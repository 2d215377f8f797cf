import { geminiClient } from '@millrace/formats/gemini/client/format';
import { echoOf } from '@millrace/formats/gemini/client/candidate';
import type { Echo } from '@millrace/formats/gemini/client/candidate';
import { member } from '@millrace/formats/gemini/client/names';
import { asksForThoughts } from '@millrace/formats/gemini/client/request';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { FastifyRequest } from 'fastify';
import { apiError } from '../../api-error.ts';
import type { Services } from '../../services.ts';
import { formatApi } from '../format-api.ts';
import { parseObject } from '../json-body.ts';
import type { ClientApi } from '../port.ts';
import { countPromptTokens } from '../token-count.ts';
import { description } from './description.ts';
import { geminiEmbeddings } from './embeddings.ts';

const methods: Readonly<Record<string, { stream: boolean; isEmbedding?: true }>> = {
  generateContent: { stream: false },
  streamGenerateContent: { stream: true },
  embedContent: { stream: false, isEmbedding: true },
  batchEmbedContents: { stream: false, isEmbedding: true },
};

const methodOf = (name: string) => (Object.hasOwn(methods, name) ? methods[name] : undefined);

/** Of a URL. `publisher`: of Vertex AI, whose own models have none in their names. */
type UrlParams = Readonly<Record<string, string | undefined>>;

/** The model and the method of a URL; aliases may contain slashes and colons. */
function partsOf({ '*': rest = '', publisher = 'google' }: UrlParams) {
  const [, model = '', name = ''] = /^(.+):([A-Za-z]+)$/.exec(rest) ?? [];
  return { model: publisher === 'google' || model === '' ? model : `${publisher}/${model}`, name };
}

/** The members of a request that its URL has. */
function membersOf(
  params: UrlParams,
  query: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const { model, name } = partsOf(params);
  const method = methodOf(name);
  if (!method) {
    const all = [...Object.keys(methods), 'countTokens'].map((one) => `models/MODEL:${one}`);
    const path = `models/${(params['*'] ?? '').slice(0, 200)}`;
    const served = `${all.slice(0, -1).join(', ')} and ${all.at(-1) ?? ''}`;
    throw apiError('unknown_url', { method: 'POST', path, served });
  }
  if (method.isEmbedding) return { model: JSON.stringify(model) };
  // Without `alt=sse` Google sends an array of responses; it comes in one piece here.
  const isArray = method.stream && query['alt'] !== 'sse';
  return {
    model: JSON.stringify(model),
    stream: String(method.stream && !isArray),
    ...(isArray && { alt: '"json"' }),
  };
}

/** `countTokens`: its body is a prompt, or has a whole request as a member. */
function countTokens(
  request: FastifyRequest,
  services: Pick<Services, 'config'>,
): object | undefined {
  const { model, name } = partsOf(request.params as UrlParams);
  if (name !== 'countTokens') return undefined;
  const body = parseObject(request.body);
  const asked = member(body, 'generateContentRequest');
  const prompt = { ...(isJsonObject(asked) ? asked : body), model, stream: false };
  const totalTokens = countPromptTokens(geminiClient, prompt, request, services);
  return { totalTokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: totalTokens }] };
}

/** The versions of Google's API that its clients use; for what is served here they are the same. */
export const versionsOfGoogle = ['v1beta', 'v1', 'v1alpha'] as const;

/** Of Vertex AI: in express mode, and with a project. */
const urlsOfVertex = ['v1beta1', 'v1'].flatMap((version) => [
  `/${version}/publishers/:publisher/models/*`,
  `/${version}/projects/:project/locations/:location/publishers/:publisher/models/*`,
]);

const responses = formatApi({
  path: '/v1beta/models:generateContent',
  description,
  urls: [...versionsOfGoogle.map((version) => `/${version}/models/*`), ...urlsOfVertex].map(
    (url) => ({
      url,
      members: membersOf,
      answer: countTokens,
      apiOf: (params) =>
        methodOf(partsOf(params).name)?.isEmbedding ? geminiEmbeddings : undefined,
    }),
  ),
  isCalledBy: (path, headers) =>
    /^\/+v1(?:alpha|beta)\d*\//.test(path) || 'x-goog-api-key' in headers,
  format: geminiClient,
  echo(body): Echo | undefined {
    const isArray = body['alt'] === 'json';
    const thoughts = asksForThoughts(body);
    if (!isArray && !thoughts) return undefined;
    return { ...(isArray && { alt: 'json' }), ...(thoughts && { thoughts }) };
  },
});

/** Google's Gemini API. */
export const gemini: ClientApi = {
  ...responses,
  encodeWhole(result, answer) {
    const whole = responses.encodeWhole(result, answer);
    return echoOf(answer).alt === 'json' ? { ...whole, body: `[${whole.body}]` } : whole;
  },
};
