import { localActor } from '@millrace/shared/domain/audit';
import type { RequestMeta } from '@millrace/shared/domain/request';
import type { Principal } from '../../auth/api-keys.ts';
import type { Services } from '../../services.ts';

/** Records that the admin cancelled or deleted a request of a client. What a client cancels itself is none of the audit log. */
export async function recordAdminCancel(
  { audit, config }: Pick<Services, 'audit' | 'config'>,
  { admin }: Principal,
  {
    address,
    meta,
    outcome,
    action = 'request.cancel',
  }: {
    address: string;
    meta: RequestMeta;
    outcome: string;
    action?: 'request.cancel' | 'request.delete';
  },
): Promise<void> {
  if (!admin) return;
  await audit.record({
    actor: config.admin?.user ?? localActor,
    address,
    action,
    target: meta.id,
    outcome: outcome === 'cancelled' ? 'ok' : outcome,
    detail: { key: meta.keyId ?? null, model: meta.model },
  });
}
