import { charged, minuteMs } from './port.ts';
import type { Charge, Correction, Taken, Windows } from './port.ts';
import { createWindow } from './window.ts';
import type { SlidingWindow } from './window.ts';

export type InsuredWindowsOptions = {
  /** The windows that all processes share. */
  shared: Windows;
  /** Whether the store of the shared windows can be asked. */
  isReady(): boolean;
  /** How many processes share the limits, as far as this one knows; at least one. */
  processCount(): number;
  windowMs?: number;
  /** Milliseconds that an answer of the store is waited for. */
  patienceMs?: number;
  now?: () => number;
  onError(error: unknown): void;
};

export type InsuredWindows = Windows & {
  /** The store is back: it is told what was used without it. */
  report(): Promise<void>;
};

/** An answer takes a millisecond; a store that hangs must not hold up requests. */
const defaultPatienceMs = 250;
/** Milliseconds that a store which kept silent is not asked: not every request should wait for it. */
const silenceMs = 1000;

/**
 * Shared windows that never make anybody wait for their store. While it is away each process grants
 * its own part of what was left by the store's last word, and of the whole limit when that word is a window old.
 * What it granted is charged to the store as soon as that is back.
 */
export function insureWindows(options: InsuredWindowsOptions): InsuredWindows {
  const { shared, isReady, processCount, windowMs = minuteMs, now = Date.now, onError } = options;
  const { patienceMs = defaultPatienceMs } = options;
  /** By key and name: what the store said last, and what was granted without it. */
  const states = new Map<string, { used: number; at: number; own: SlidingWindow }>();
  /** By key, then name: what the store does not know yet. */
  const owed = new Map<string, Map<string, number>>();

  /** Until when the store is not asked. */
  let silentUntil = 0;

  function stateOf(key: string, name: string) {
    const id = `${name} ${key}`;
    const state = states.get(id) ?? { used: 0, at: -Infinity, own: createWindow(windowMs) };
    states.set(id, state);
    return state;
  }

  /** Undefined when the store does not answer in time. */
  async function ask<T>(call: () => Promise<T>): Promise<T | undefined> {
    if (!isReady() || now() < silentUntil) return undefined;
    let isOver = false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      const giveUp = (): void => {
        if (isOver) return;
        silentUntil = now() + silenceMs;
        resolve(undefined);
      };
      // Where it is this process that was late, the answer is here and is read before an immediate runs.
      timer = setTimeout(() => setImmediate(giveUp), patienceMs);
    });
    const asked = call().catch((error: unknown) => {
      onError(error);
      return undefined;
    });
    return Promise.race([asked, late]).finally(() => {
      isOver = true;
      clearTimeout(timer);
    });
  }

  const owe = (key: string, name: string, amount: number): void => {
    const names = owed.get(key) ?? new Map<string, number>();
    names.set(name, (names.get(name) ?? 0) + amount);
    owed.set(key, names);
  };

  function oweLess(key: string, name: string, amount: number): void {
    const names = owed.get(key);
    const left = (names?.get(name) ?? 0) - amount;
    if (left > 0) names?.set(name, left);
    else names?.delete(name);
    if (names?.size === 0) owed.delete(key);
  }

  /** What was granted without the store is given back; what it was told of it already leaves its window. */
  function forgive(key: string, { name, amount, slot = -1 }: Correction): void {
    stateOf(key, name).own.giveBack(ownSlot(slot), -amount);
    oweLess(key, name, -amount);
  }

  /** The store charges after all what was granted, or refused, without it. */
  async function undo(
    key: string,
    charges: readonly Charge[],
    late: Promise<Taken>,
  ): Promise<void> {
    const taken = await late;
    if (taken.kind === 'no') return;
    const { slot } = taken;
    await shared.correct(
      key,
      charges.map((one) => ({ name: one.name, amount: -charged(one), slot })),
    );
  }

  async function pay(key: string): Promise<void> {
    const names = owed.get(key);
    if (!names) return;
    owed.delete(key);
    const corrections = [...names].map(([name, amount]) => ({ name, amount }));
    let told: Promise<true> | undefined;
    const paid = await ask(() => (told = shared.correct(key, corrections).then(() => true)));
    if (paid) return;
    for (const [name, amount] of names) owe(key, name, amount);
    if (told) heardLate(key, names, told).catch(() => {});
  }

  async function heardLate(
    key: string,
    names: ReadonlyMap<string, number>,
    told: Promise<true>,
  ): Promise<void> {
    await told;
    for (const [name, amount] of names) oweLess(key, name, amount);
  }

  function takeOwn(key: string, charges: readonly Charge[]): Taken {
    const at = now();
    const parts = charges.map((charge) => {
      const { name, limit, amount } = charge;
      const state = stateOf(key, name);
      const isFresh = at < state.at + windowMs;
      const left = Math.max(0, isFresh ? limit - state.used : limit);
      const part = Math.floor(left / processCount());
      // Of a limit smaller than their number each may have one, or nobody would ever ask.
      const share = isFresh ? part : Math.max(1, part);
      const waitMs =
        share === 0 ? state.at + windowMs - at : state.own.wait(at, share, Math.min(amount, share));
      const knownMs = isFresh && state.used > 0 ? state.at + windowMs - at : 0;
      return { name, limit, state, share, amount: charged(charge), waitMs, knownMs };
    });
    // What is not left here counts as used: others may have granted it.
    const tell = () => ({
      used: parts.map(({ state, limit, share }) => limit - share + state.own.used(at)),
      resetMs: parts.map(({ state, knownMs }) => Math.max(knownMs, state.own.reset(at))),
    });
    const retryAfterMs = Math.max(0, ...parts.map(({ waitMs }) => waitMs));
    if (retryAfterMs > 0) return { kind: 'no', retryAfterMs, ...tell() };
    let slot = 0;
    for (const { name, state, amount } of parts) {
      slot = state.own.add(at, amount);
      owe(key, name, amount);
    }
    return { kind: 'yes', slot: ownSlot(slot), ...tell() };
  }

  return {
    async take(key, charges) {
      if (owed.has(key)) await pay(key);
      let asked: Promise<Taken> | undefined;
      const taken = await ask(() => (asked = shared.take(key, charges)));
      if (!taken) {
        if (asked) undo(key, charges, asked).catch(() => {});
        return takeOwn(key, charges);
      }
      for (const [index, { name }] of charges.entries()) {
        Object.assign(stateOf(key, name), { used: taken.used[index] ?? 0, at: now() });
      }
      return taken;
    },
    async correct(key, corrections) {
      // What was granted without the store is not in any slot of it.
      const known = corrections.filter(({ amount, slot = -1 }) => amount > 0 || slot >= 0);
      for (const one of corrections) if (!known.includes(one)) forgive(key, one);
      if (known.length === 0) return;
      if (await ask(() => shared.correct(key, known).then(() => true))) return;
      // What is not given back now leaves the window by itself.
      const further = known.filter(isUse);
      for (const { name, amount } of further) owe(key, name, amount);
    },
    async report() {
      silentUntil = 0;
      await Promise.all([...owed.keys()].map(pay));
    },
  };
}

/** Below zero, so that no slot of the store is taken for it; and back. */
const ownSlot = (slot: number): number => -1 - slot;

const isUse = ({ amount }: Correction): boolean => amount > 0;
