import { requestIdOf } from '@millrace/formats/openai-responses/client/response';
import { itemTexts, memberText } from '@millrace/shared/domain/json-text';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { apiError } from '../../api-error.ts';
import type { Principal } from '../../auth/api-keys.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';
import { findJob } from '../jobs/find-job.ts';

/* Responses that were made before, for their routes and for requests that continue one. */

/** Throws a 404 for what is no response that the principal may see, and a 410 after its retention. */
export async function findResponse(
  services: Services,
  principal: Principal,
  id: string,
): Promise<Described> {
  const requestId = requestIdOf(id);
  if (requestId === undefined) throw apiError('job_not_found', { id });
  const described = await findJob(services, principal, requestId);
  if (described.meta.endpoint !== '/v1/responses') throw apiError('job_not_found', { id });
  return described;
}

/** The input items of a response, each as JSON text; undefined if they are not stored (`store: false`). */
export async function storedInput(
  services: Services,
  { meta }: Described,
): Promise<string[] | undefined> {
  if (!meta.keepsBody) return undefined;
  const body = await within(services.log.body(meta.id));
  return body === undefined ? undefined : inputItems(memberText(body, 'input') ?? '[]');
}

/** The items of an `input`, a text or an array as JSON. */
export const inputItems = (input: string): string[] =>
  input.startsWith('"')
    ? [`{"type":"message","role":"user","content":${input}}`]
    : [...itemTexts(input)];
