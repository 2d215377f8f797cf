import { hostname } from 'node:os';
import type { Order } from '../../domain/order.ts';
import type { Lifecycle } from '../../runtime/lifecycle.ts';
import { version } from '../../runtime/version.ts';
import type { Announcement, Announcer, ProcessRole, ProcessStage } from './port.ts';

export type PresenceOptions = {
  fleet: Announcer;
  name: string;
  role: ProcessRole;
  lifecycle: Pick<Lifecycle, 'stage'>;
  /** How much the process has under way. */
  counts(): Announcement['counts'];
  /** Called when an operator's order differs from the order before. */
  onOrder(order: Order): void;
  onError(error: unknown): void;
};

export type Presence = {
  /** An order has arrived on the channel of this process. */
  receive(order: Order): void;
  /** Announces a change at once: of its stage, say. */
  changed(): void;
  /** Ends the announcements and removes the process from the fleet. */
  leave(): Promise<void>;
};

/** Milliseconds between two announcements. */
export const announceEveryMs = 5000;

/** Announces this process, and applies the orders of operators. */
export function startPresence(options: PresenceOptions): Presence {
  const { fleet, name, role, lifecycle, counts, onOrder, onError } = options;
  const startedAt = Math.round(Date.now() - process.uptime() * 1000);
  let current: Order = 'resume';
  let underWay: Promise<void> | undefined;
  let mustRepeat = false;
  let hasLeft = false;
  /** Orders that arrived as messages. */
  let messages = 0;

  function stage(): ProcessStage {
    const isEnding = lifecycle.stage !== 'starting' && lifecycle.stage !== 'serving';
    if (isEnding) return 'stopping';
    return current === 'drain' ? 'draining' : 'serving';
  }

  const describe = (): Announcement => ({
    name,
    role,
    version,
    host: hostname(),
    pid: process.pid,
    startedAt,
    stage: stage(),
    counts: counts(),
  });

  function apply(order: Order): void {
    if (order === current || hasLeft) return;
    current = order;
    onOrder(order);
    announce();
  }

  async function announceNow(): Promise<void> {
    const before = messages;
    const standing = await fleet.announce(describe());
    // A message that came meanwhile is newer than this reply, or as new. A lost order is no order to resume.
    if (messages === before && standing) apply(standing);
  }

  function announce(): void {
    if (hasLeft) return;
    if (underWay) {
      mustRepeat = true;
      return;
    }
    underWay = announceNow()
      .catch(onError)
      .finally(() => {
        underWay = undefined;
        if (!mustRepeat) return;
        mustRepeat = false;
        announce();
      });
  }

  announce();
  // During an outage of Redis one announcement waits.
  const timer = setInterval(() => {
    if (!underWay) announce();
  }, announceEveryMs);
  return {
    receive(order) {
      messages += 1;
      apply(order);
    },
    changed: announce,
    async leave() {
      hasLeft = true;
      clearInterval(timer);
      // An announcement under way would bring the process back into the list.
      await underWay;
      await fleet.remove(name);
    },
  };
}
