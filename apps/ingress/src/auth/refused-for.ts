import { refuse } from '../errors.ts';
import type { Refused } from '../errors.ts';
import type { RefusalReason } from './api-keys.ts';

/** The answer to credentials that open nothing. */
export function refusedFor(
  reason: RefusalReason,
  keyId: string | undefined,
  hasKeys: boolean,
): Refused {
  const count = { countAs: reason, keyId };
  const local = { because: 'No keys are configured', section: 'keys', ...count };
  switch (reason) {
    case 'no_key':
      return refuse('invalid_api_key', { problem: 'missing', ...count });
    case 'unknown_key':
      return refuse('invalid_api_key', { problem: 'incorrect', ...count });
    case 'revoked_key':
      return refuse('api_key_revoked', count);
    case 'expired_key':
      return refuse('api_key_expired', count);
    case 'old_secret':
      return refuse('invalid_api_key', { problem: 'rotated', ...count });
    case 'address':
      return refuse('address_not_allowed', count);
    case 'foreign_page':
      return hasKeys
        ? refuse('foreign_page', { of: 'api', ...count })
        : refuse('foreign_page', { of: 'local', ...local });
    case 'untrusted_proxy':
    case 'loopback_only':
      return refuse(reason, local);
  }
}
