import { tell } from '../ui/actions.tsx';

/** In the tab's storage: the page was loaded anew once, because a part of it was gone. */
const storageKey = 'millrace-reloaded';

/**
 * The part of the console that a page needs. After an upgrade of the control plane the parts of the old page are gone, so the
 * whole page is loaded anew, once.
 */
export async function loaded<T>(load: () => Promise<T>): Promise<T> {
  try {
    const part = await load();
    sessionStorage.removeItem(storageKey);
    return part;
  } catch (error) {
    if (sessionStorage.getItem(storageKey) === null) {
      sessionStorage.setItem(storageKey, 'yes');
      location.reload();
      // The page is about to go.
      return new Promise<T>(() => {});
    }
    tell('A part of the console cannot be loaded: reload the page.', 'bad');
    throw error;
  }
}
