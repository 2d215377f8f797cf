/**
 * A sliding window in slots. A window that is reset at fixed times would permit the whole limit right before
 * a reset and once more right after it. Here a slot counts until the last use in it is a whole window ago, so
 * that no period of that length ever holds more than the limit; in return, a use counts for up to one slot
 * too long.
 */

/**
 * Slots of one window. More would waste less of the limit (a sixtieth at most) and cost Redis more: up to 61
 * of each name exist at a time, which keeps two windows in a small hash's compact form (128 fields).
 */
export const slotsPerWindow = 60;

export const slotLength = (windowMs: number): number =>
  Math.max(1, Math.ceil(windowMs / slotsPerWindow));

export type SlidingWindow = {
  used(now: number): number;
  /** Milliseconds until the window is empty; 0 if it is now. */
  reset(now: number): number;
  /** Milliseconds until the amount fits; 0 if it fits now. */
  wait(now: number, limit: number, amount: number): number;
  /** Returns the slot that was charged. */
  add(now: number, amount: number): number;
  giveBack(slot: number, amount: number): void;
};

/** Does the same as `lua/take.lua`, within one process. */
export function createWindow(windowMs: number): SlidingWindow {
  const slotMs = slotLength(windowMs);
  /** Use by slot, in the order of time. */
  const slots = new Map<number, number>();

  function used(now: number): number {
    const oldest = Math.floor(now / slotMs) - slotsPerWindow;
    let sum = 0;
    for (const [slot, amount] of slots) {
      if (slot < oldest) slots.delete(slot);
      else sum += amount;
    }
    return sum;
  }

  return {
    used,
    reset(now) {
      if (used(now) === 0) return 0;
      return (Math.max(...slots.keys()) + slotsPerWindow + 1) * slotMs - now;
    },
    wait(now, limit, amount) {
      let over = used(now) + Math.min(amount, limit) - limit;
      if (over <= 0) return 0;
      for (const [slot, held] of slots) {
        over -= held;
        if (over <= 0) return (slot + slotsPerWindow + 1) * slotMs - now;
      }
      return windowMs;
    },
    add(now, amount) {
      const slot = Math.floor(now / slotMs);
      slots.set(slot, (slots.get(slot) ?? 0) + amount);
      return slot;
    },
    giveBack(slot, amount) {
      const held = slots.get(slot);
      if (held !== undefined) slots.set(slot, Math.max(0, held - amount));
    },
  };
}
