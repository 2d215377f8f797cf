import type { Order } from '../../domain/order.ts';

/**
 * The processes of a fleet, for operators: who they are, and whether they take new work. Each process announces itself
 * every few seconds, and is gone when it has not done so for a while. Takeovers do not depend on this list: they have
 * heartbeats (store/membership).
 */
export type ProcessRole = 'ingress' | 'worker' | 'admin';

/**
 * `draining`: an operator has ordered it to take no new work; it can be resumed. `stopping`: it takes no new work and exits.
 */
export type ProcessStage = 'serving' | 'draining' | 'stopping';

export type Announcement = {
  name: string;
  role: ProcessRole;
  version: string;
  host: string;
  pid: number;
  /** Milliseconds since the epoch, by the clock of its machine. */
  startedAt: number;
  stage: ProcessStage;
  /** How much it has under way, such as `streams` of an ingress or `runs` of a worker. */
  counts: Readonly<Record<string, number>>;
};

/** `isListening`: false for a process that was killed a moment ago, or whose connection to Redis is interrupted. */
export type FleetProcess = Announcement & { isListening: boolean };

/** `gone`: no process of this name listens. `stopping`: it exits anyway. */
export type OrderOutcome = 'sent' | 'gone' | 'stopping';

export type Fleet = {
  /** All processes, sorted by role and name. */
  list(): Promise<FleetProcess[]>;
  /**
   * Sends an order to an ingress or a worker. It also stands in Redis, so that a lost message delays it only. Rejects, and
   * sends nothing, if the signal has aborted before.
   */
  send(name: string, order: Order, signal?: AbortSignal): Promise<OrderOutcome>;
};

/** A process' own side of it. */
export type Announcer = {
  /** Announces the process; resolves with the order that stands for it. Undefined: none was sent, or Redis has lost it. */
  announce(announcement: Announcement): Promise<Order | undefined>;
  /** Removes a process that exits. */
  remove(name: string): Promise<void>;
};
