import { signal } from '@preact/signals';

/**
 * The secret that was made last in this page, for the client setup. It is in memory only: a secret belongs neither into a URL nor
 * into the browser's storage.
 */
export const freshSecret = signal<{ id: string; secret: string } | undefined>(undefined);
