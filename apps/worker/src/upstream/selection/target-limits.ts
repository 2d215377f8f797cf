import type { ModelConfig } from '@millrace/shared/config';
import { configuredTarget, isPattern } from '@millrace/shared/domain/model-names';
import { limitsByTarget } from '@millrace/shared/domain/target-limits';
import type { Target } from '@millrace/shared/domain/request';
import { targetKey } from '@millrace/shared/domain/target-key';
import { tokensUsed } from '@millrace/shared/domain/tokens';
import { charged, chargesOf, refundOf } from '@millrace/shared/store/quota/port';
import type { Charge, Taken, Windows } from '@millrace/shared/store/quota/port';

export type TargetGrant =
  | {
      kind: 'yes';
      /**
       * The answer has ended: replaces the estimate by its usage. Undefined if none was reported: the
       * estimate stays.
       */
      settle(usage: unknown): void;
      /** The target was not asked: gives everything back. After a call of either, both have no effect. */
      cancel(): void;
    }
  | { kind: 'no'; retryAfterMs: number };

export type TargetLimitsOptions = {
  models: Readonly<Record<string, ModelConfig>>;
  windows: Windows;
  now(): number;
  /** A target that was at its limit has room again. */
  onRoom(): void;
  onError(error: unknown): void;
};

/**
 * Milliseconds for which a target without enough tokens for one request counts as full: a smaller request may
 * still fit, but each check costs a call.
 */
const shortOfTokensMs = 1000;

const free: TargetGrant = { kind: 'yes', settle() {}, cancel() {} };

/** The configured limits of targets, counted over the whole fleet. */
export function createTargetLimits({ models, windows, now, onRoom, onError }: TargetLimitsOptions) {
  let limits = limitsByTarget(models);
  let configured = targetsIn(models);
  /** All names that a wildcard serves at a target share its limits, unless the config names them, too. */
  const keyOf = (target: Target): string =>
    targetKey(configured.length === 0 ? target : (configuredTarget(configured, target) ?? target));
  /** The last answer of the store: until when a target is at its limit, and its usage. */
  const told = new Map<string, { until: number; used: Record<string, number> }>();

  function remember(key: string, charges: readonly Charge[], taken: Taken): void {
    const isFull = charges.some(
      ({ name, limit }, index) => name === 'requests' && (taken.used[index] ?? 0) >= limit,
    );
    const waitMs = taken.kind === 'yes' ? 0 : taken.retryAfterMs;
    told.set(key, {
      until: now() + (isFull ? waitMs : Math.min(waitMs, shortOfTokensMs)),
      used: Object.fromEntries(charges.map(({ name }, index) => [name, taken.used[index] ?? 0])),
    });
  }

  async function ask(key: string, charges: readonly Charge[]): Promise<TargetGrant> {
    const taken = await windows.take(key, charges);
    remember(key, charges, taken);
    if (taken.kind === 'no') return { kind: 'no', retryAfterMs: taken.retryAfterMs };
    const { slot } = taken;
    const estimate = charges.find(({ name }) => name === 'tokens');
    let isOpen = true;
    const correct = async (corrections: Parameters<Windows['correct']>[1]): Promise<void> => {
      if (!isOpen) return;
      isOpen = false;
      if (corrections.length > 0) await windows.correct(key, corrections);
    };
    const giveBack = (): void => {
      // Redis executes it before any later `take`; during an outage of Redis nothing waits for it.
      correct(refundOf(charges, slot)).catch(onError);
      const known = told.get(key);
      if (!known || known.until <= now()) return;
      known.until = now();
      onRoom();
    };
    return {
      kind: 'yes',
      settle(usage) {
        const tokens = tokensUsed(usage);
        if (!estimate || tokens === undefined) return;
        const amount = tokens - charged(estimate);
        correct(amount === 0 ? [] : [{ name: estimate.name, amount, slot }]).catch(onError);
      },
      cancel() {
        if (isOpen) giveBack();
      },
    };
  }

  return {
    /** Uses the limits of these models from now on; what has been counted stays counted. */
    replace(some: TargetLimitsOptions['models']): void {
      limits = limitsByTarget(some);
      configured = targetsIn(some);
    },
    /** Synchronous for a target without limits. Rejects only if the store does. */
    take(target: Target, body: string): TargetGrant | Promise<TargetGrant> {
      const key = keyOf(target);
      const limit = limits.get(key);
      return limit ? ask(key, chargesOf(limit, body)) : free;
    },
    /** Until when a target is at its limit according to the last answer; undefined if it is not. */
    fullUntil(target: Target): number | undefined {
      const until = told.get(keyOf(target))?.until ?? 0;
      return until > now() ? until : undefined;
    },
    snapshot: (target: Target) => {
      const limit = limits.get(targetKey(target));
      return limit ? { ...limit, used: told.get(targetKey(target))?.used } : undefined;
    },
  };
}

/** The targets of the config; none if no wildcard has limits, which is the common case. */
function targetsIn(models: TargetLimitsOptions['models']) {
  const all = Object.values(models).flatMap(({ targets }) => targets);
  return all.some(({ model, limits }) => limits && isPattern(model)) ? all : [];
}
