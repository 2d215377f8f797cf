import type { Gossip } from '@millrace/shared/store/gossip/port';
import type { Breakers } from './breakers.ts';
import { createPacer } from './pacer.ts';
import { encodeGossip, isGossipOf, parseGossip } from './gossip-message.ts';
import type { TargetCounters } from './gossip-message.ts';
import type { SharedStates } from './shared-states.ts';
import type { StateRecord } from './state-record.ts';
import type { FleetView } from './view.ts';

export type TargetGossipOptions = {
  fleet: Gossip;
  worker: string;
  view: FleetView;
  breakers: Breakers;
  states: SharedStates;
  adopt(key: string, record: StateRecord): void;
  now: () => number;
};

/** Exchanges messages with the other workers. */
export type TargetGossip = {
  /** Schedules the counters of a target. */
  publish(key: string, when: 'soon' | 'urgent' | 'at once'): void;
  counters(): { sent: number; received: number };
  close(): void;
};

/** Milliseconds between two messages with every target, by which other workers also see that this one lives. */
const wholeMs = 1000;

export function createTargetGossip(options: TargetGossipOptions): TargetGossip {
  const { fleet, worker, view, breakers, states, adopt, now } = options;
  const changed = new Set<string>();
  /** Targets of which this worker has sent anything. */
  const known = new Set<string>();
  const decided = new Set<string>();
  const counters = { sent: 0, received: 0 };
  const pacer = createPacer({ send: () => send(false), readers: () => view.workers() });

  function send(whole: boolean): void {
    counters.sent += 1;
    const message = { worker, whole, tallies: tallies(whole), states: records(whole) };
    fleet.publish(encodeGossip(message, now()));
    changed.clear();
    decided.clear();
  }

  function* tallies(whole: boolean): Iterable<[string, TargetCounters]> {
    for (const key of whole ? known : changed) yield [key, view.target(key).own];
  }

  function* records(whole: boolean): Iterable<[string, StateRecord]> {
    for (const key of decided) yield [key, breakers.of(key).record];
    if (!whole) return;
    // Closed ones too: the next decision must have a greater epoch, whatever the clock of its worker says.
    for (const { key, record } of breakers.all()) if (record.epoch > 0) yield [key, record];
  }

  function onMessage(text: string): void {
    if (isGossipOf(text, worker)) return;
    const message = parseGossip(text, now());
    if (!message) return;
    counters.received += 1;
    // States first: counts for a target that has been given up belong to the time before.
    for (const [key, record] of message.states) adopt(key, record);
    for (const { key } of view.merge(message)) breakers.look(breakers.of(key));
  }

  const subscription = fleet.subscribe({
    onText: onMessage,
    onListening() {
      states.sync();
      send(true);
    },
  });
  const timer = setInterval(() => {
    send(true);
    states.retry();
  }, wholeMs);

  return {
    publish(key, when) {
      changed.add(key);
      known.add(key);
      if (when === 'soon') pacer.soon();
      else if (when === 'urgent') pacer.urgent();
      else {
        decided.add(key);
        pacer.atOnce();
      }
    },
    counters: () => ({ ...counters }),
    close() {
      clearInterval(timer);
      pacer.close();
      // A last message: nothing is in flight here any more.
      send(true);
      subscription.close();
    },
  };
}
