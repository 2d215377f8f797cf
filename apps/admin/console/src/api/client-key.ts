import { signal } from '@preact/signals';

/* The API key that the operator typed to use models in the console. This browser tab keeps it until it is closed. */

const storageKey = 'millrace-client-key';

/** Empty: none was typed; a fleet without keys needs none. */
export const clientKey = signal(sessionStorage.getItem(storageKey) ?? '');

export function setClientKey(key: string): void {
  clientKey.value = key.trim();
  if (clientKey.value === '') sessionStorage.removeItem(storageKey);
  else sessionStorage.setItem(storageKey, clientKey.value);
}
