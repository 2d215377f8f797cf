import { geminiClient } from '@millrace/formats/gemini/client/format';
import { apiError } from '../../api-error.ts';
import { formatApi } from '../format-api.ts';
import type { ClientApi } from '../port.ts';
import { description } from './description.ts';

const methods: Readonly<Record<string, { stream: boolean }>> = {
  generateContent: { stream: false },
  streamGenerateContent: { stream: true },
};

/** The members of a request that its URL has; aliases may contain slashes and colons. */
function membersOf(rest: string, query: Readonly<Record<string, unknown>>): Record<string, string> {
  const [, model = '', name = ''] = /^(.+):([A-Za-z]+)$/.exec(rest) ?? [];
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (!method) {
    const served = 'models/MODEL:generateContent and models/MODEL:streamGenerateContent';
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

/** The versions of Google's API that its clients use; for these two methods they are the same. */
const versions = ['v1beta', 'v1', 'v1alpha'] as const;

const responses = formatApi({
  path: '/v1beta/models:generateContent',
  description,
  urls: versions.map((version) => ({
    url: `/${version}/models/*`,
    members: (params, query) => membersOf(params['*'] ?? '', query),
  })),
  isCalledBy: (path, headers) => /^\/+v1(?:alpha|beta)\//.test(path) || 'x-goog-api-key' in headers,
  format: geminiClient,
  echo: ({ alt }) => (alt === 'json' ? { alt } : undefined),
});

/** Google's Gemini API. */
export const gemini: ClientApi = {
  ...responses,
  encodeWhole(result, answer) {
    const whole = responses.encodeWhole(result, answer);
    return answer.echo === undefined ? whole : { ...whole, body: `[${whole.body}]` };
  },
};
