import { signal } from '@preact/signals';

/* Dark or light: as the system has it, unless the operator chose one in this browser. */

export type Theme = 'system' | 'light' | 'dark';

const storageKey = 'millrace-theme';
const themes: readonly Theme[] = ['system', 'light', 'dark'];

const stored = (): Theme => {
  const found = localStorage.getItem(storageKey);
  return themes.find((theme) => theme === found) ?? 'system';
};

const chosen = signal<Theme>(stored());
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
const resolve = () =>
  chosen.value === 'system' ? (systemIsDark.matches ? 'dark' : 'light') : chosen.value;

/** The theme on screen. */
export const theme = signal<'light' | 'dark'>(resolve());

/** Follows the system's setting from now on. */
export function applyTheme(): void {
  const apply = () => {
    document.documentElement.dataset['theme'] = resolve();
    theme.value = resolve();
  };
  systemIsDark.addEventListener('change', apply);
  apply();
}

export function toggleTheme(): void {
  const next = resolve() === 'dark' ? 'light' : 'dark';
  chosen.value = next;
  localStorage.setItem(storageKey, next);
  document.documentElement.dataset['theme'] = next;
  theme.value = next;
}
