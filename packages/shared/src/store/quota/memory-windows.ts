import { minuteMs } from './port.ts';
import type { Windows } from './port.ts';
import { createWindow } from './window.ts';
import type { SlidingWindow } from './window.ts';

export type MemoryWindowsOptions = { windowMs?: number; now?: () => number };

/** Limits within this process only. */
export function createMemoryWindows(options: MemoryWindowsOptions = {}): Windows {
  const { windowMs = minuteMs, now = Date.now } = options;
  const windows = new Map<string, SlidingWindow>();

  function windowOf(key: string, name: string): SlidingWindow {
    const id = `${name} ${key}`;
    const window = windows.get(id) ?? createWindow(windowMs);
    windows.set(id, window);
    return window;
  }

  return {
    async take(key, charges) {
      const at = now();
      const each = charges.map((charge) => ({ ...charge, window: windowOf(key, charge.name) }));
      const retryAfterMs = Math.max(
        0,
        ...each.map(({ window, limit, amount }) => window.wait(at, limit, amount)),
      );
      const state = () => ({
        used: each.map(({ window }) => window.used(at)),
        resetMs: each.map(({ window }) => window.reset(at)),
      });
      if (retryAfterMs > 0) return { kind: 'no', retryAfterMs, ...state() };
      let slot = 0;
      for (const { window, limit, amount } of each) slot = window.add(at, Math.min(amount, limit));
      return { kind: 'yes', slot, ...state() };
    },
    async correct(key, corrections) {
      for (const { name, amount, slot } of corrections) {
        const window = windowOf(key, name);
        if (amount > 0) window.add(now(), amount);
        else if (slot !== undefined) window.giveBack(slot, -amount);
      }
    },
  };
}
