import type { Config } from '@millrace/shared/config';
import { isJsonObject } from '@millrace/shared/domain/json';
import type { RequestMeta } from '@millrace/shared/domain/request';
import { webhookUrlProblem } from '@millrace/shared/domain/webhook';
import { apiError } from '../../api-error.ts';
import { wrongType } from '../json-body.ts';

/**
 * The member `webhook` of a job: `{"url": …}`; without a `url`, the end goes to that of the config. Throws an ApiError. The
 * address behind the URL is checked when the control plane connects.
 */
export function readWebhook(value: unknown, webhooks: Config['webhooks']): RequestMeta['webhook'] {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw wrongType('webhook', 'an object', value);
  for (const name of Object.keys(value)) {
    if (name !== 'url') throw apiError('unknown_parameter', { param: `webhook.${name}` });
  }
  if (!webhooks) throw apiError('webhooks_off');
  const { url } = value;
  if (url === undefined && webhooks.url !== undefined) return {};
  if (typeof url !== 'string') throw wrongType('webhook.url', 'a string', url);
  const expected = webhookUrlProblem(url, webhooks.allowPrivate);
  if (expected !== undefined) throw apiError('invalid_value', { param: 'webhook.url', expected });
  return { url };
}
