import { parseRequestId } from '@millrace/shared/domain/request';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { apiError, errorOf } from '../../api-error.ts';
import { maySee } from '../../auth/api-keys.ts';
import type { Principal } from '../../auth/api-keys.ts';
import type { Services } from '../../services.ts';
import { within } from '../../store-timeout.ts';

/**
 * Throws a 404 both for a request that does not exist and for one that the principal may not see; a 410 after
 * its retention.
 */
export async function findJob(
  services: Services,
  principal: Principal,
  id: string,
): Promise<Described> {
  // Since a WebSocket was authenticated, its key may have ended.
  const ended = services.keyRing.renew(principal);
  if (ended.kind === 'refused') throw errorOf(ended);
  const parsed = parseRequestId(id);
  if (!parsed) throw apiError('job_not_found', { id });
  const described = await within(services.reconciler.describe(id));
  if (described && maySee(principal, described.meta)) return described;
  if (!described && Date.now() - parsed.createdAt > services.config.retentionMs) {
    throw apiError('job_expired', { id });
  }
  throw apiError('job_not_found', { id });
}
