import { anthropicMessagesClient } from '@millrace/formats/anthropic-messages/client/format';
import { formatApi } from '../format-api.ts';
import { description } from './description.ts';

/** Anthropic's Messages. */
export const messages = formatApi({
  path: '/v1/messages',
  description,
  isCalledBy: (_path, headers) => 'anthropic-version' in headers,
  format: anthropicMessagesClient,
  // Anthropic's SDKs show it with an error.
  head: (id) => ({ 'request-id': id }),
  members(headers) {
    const betas = String(headers['anthropic-beta'] ?? '')
      .split(',')
      .map((beta) => beta.trim())
      .filter((beta) => beta !== '');
    const members: Record<string, string> = {};
    if (betas.length > 0) members['anthropic_beta'] = JSON.stringify(betas);
    return members;
  },
});
