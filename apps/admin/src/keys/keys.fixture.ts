import { createMemoryApiKeys } from '@millrace/shared/store/api-keys/memory-api-keys';
import type { KeyRoutesOptions } from '../api/key-routes.ts';

/** Keys of a fleet without any, in memory. */
export const keyOptions = (more: Partial<KeyRoutesOptions> = {}): KeyRoutesOptions => ({
  store: createMemoryApiKeys(),
  budgets: undefined,
  isReady: () => true,
  configured: [],
  models: ['small', 'large'],
  onError(error) {
    throw error;
  },
  ...more,
});
