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

const methods: Readonly<Record<string, { stream: boolean }>> = {
  generateContent: { stream: false },
  streamGenerateContent: { stream: true },
};

/** The model and the method of a URL; aliases may contain slashes and colons. */
function partsOf(rest: string): { model: string; name: string } {
  const [, model = '', name = ''] = /^(.+):([A-Za-z]+)$/.exec(rest) ?? [];
  return { model, name };
}

/** The members of a request that its URL has. */
function membersOf(rest: string, query: Readonly<Record<string, unknown>>): Record<string, string> {
  const { model, name } = partsOf(rest);
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (!method) {
    const served =
      'models/MODEL:generateContent, models/MODEL:streamGenerateContent and models/MODEL:countTokens';
    throw apiError('unknown_url', { method: 'POST', path: `models/${rest.slice(0, 200)}`, served });
  }
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
  const { '*': rest } = request.params as { '*': string };
  const { model, name } = partsOf(rest);
  if (name !== 'countTokens') return undefined;
  const body = parseObject(request.body);
  const asked = member(body, 'generateContentRequest');
  const prompt = { ...(isJsonObject(asked) ? asked : body), model, stream: false };
  const totalTokens = countPromptTokens(geminiClient, prompt, request, services);
  return { totalTokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: totalTokens }] };
}

/** The versions of Google's API that its clients use; for what is served here they are the same. */
export const versionsOfGoogle = ['v1beta', 'v1', 'v1alpha'] as const;

const responses = formatApi({
  path: '/v1beta/models:generateContent',
  description,
  urls: versionsOfGoogle.map((version) => ({
    url: `/${version}/models/*`,
    members: (params, query) => membersOf(params['*'] ?? '', query),
    answer: countTokens,
  })),
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
