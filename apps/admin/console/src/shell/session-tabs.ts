import { needsLogin } from '../api/client.ts';
import { setClientKey } from '../api/client-key.ts';

/* All tabs of a browser have one session: when it ends in one of them, none goes on to show what it had. */

/** In the storage that tabs share: a change of it is an event in all tabs but the one that made it. */
const storageKey = 'millrace-session';

addEventListener('storage', ({ key, newValue }) => {
  if (key !== storageKey || newValue === null) return;
  if (newValue.startsWith('begun')) needsLogin.value = 'no';
  if (!newValue.startsWith('ended')) return;
  forgetSession();
  // The shell takes the page away.
  needsLogin.value = 'first';
});

/** Lets the other tabs know that the operator has logged in or out. */
export const announceSession = (what: 'begun' | 'ended'): void =>
  localStorage.setItem(storageKey, `${what} ${Date.now()}`);

/** The next operator at this browser finds neither the API key of a tab nor what its playground had. */
export function forgetSession(): void {
  setClientKey('');
  sessionStorage.clear();
}
