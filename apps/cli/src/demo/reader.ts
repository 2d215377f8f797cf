import { setTimeout as sleep } from 'node:timers/promises';
import { eventsOf, mayPass } from '../commands/tail.ts';
import { textOf } from '../commands/tail-events.ts';
import { refuseUnless } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';

/** One stream of the demonstration, as its reader saw it. Times are milliseconds by `performance.now()`. */
export type Reading = {
  readonly id: string;
  text: string;
  /** When each piece of text arrived. */
  readonly textAt: number[];
  /** `provider/model` of each attempt, and when the reader learnt of it. */
  readonly attempts: { target: string; at: number }[];
  /** Connections that broke before the end. */
  reconnects: number;
  /** The name of the terminal event; undefined: not yet. */
  end: string | undefined;
};

export type StartedReading = { reading: Reading; finished: Promise<void> };

/** Milliseconds between two tries to reach an ingress that is being restarted, and for all of them together. */
const retryMs = 50;
const patienceMs = 60_000;

/** Creates a request and reads it to its end, over lost connections. `onText` gets each piece of text. */
export async function startReading(
  ingress: Ingress,
  model: string,
  { onText = () => {}, onAttempt = () => {} }: Observer = {},
): Promise<StartedReading> {
  const messages = [{ role: 'user', content: 'What does a millrace do?' }];
  const { id } = await ingress.post<{ id: string }>('/v1/jobs', {
    body: { model, stream: true, messages },
  });
  const reading: Reading = {
    id,
    text: '',
    textAt: [],
    attempts: [],
    reconnects: 0,
    end: undefined,
  };
  return { reading, finished: follow(ingress, reading, { onText, onAttempt }) };
}

export type Observer = {
  onText?(text: string): void;
  onAttempt?(target: string, number: number): void;
};

const terminal = new Set(['done', 'failed', 'cancelled']);

async function follow(
  ingress: Ingress,
  reading: Reading,
  { onText, onAttempt }: Required<Observer>,
): Promise<void> {
  let cursor: string | undefined;
  let eventAt = performance.now();
  for (;;) {
    try {
      const response = await ingress.open(`/v1/jobs/${reading.id}/events`, {
        headers: { ...(cursor !== undefined && { 'last-event-id': cursor }) },
      });
      await refuseUnless(response);
      for await (const { event = '', id, data } of eventsOf(response, never)) {
        cursor = id ?? cursor;
        eventAt = performance.now();
        if (event === 'chunk') {
          const text = textOf(data);
          if (text === '') continue;
          reading.text += text;
          reading.textAt.push(performance.now());
          onText(text);
        } else if (event === 'attempt') {
          const { provider, model } = JSON.parse(data) as { provider: string; model: string };
          const target = `${provider}/${model}`;
          reading.attempts.push({ target, at: performance.now() });
          onAttempt(target, reading.attempts.length);
        } else if (terminal.has(event)) {
          reading.end = event;
          return;
        }
      }
    } catch (error) {
      if (!mayPass(error) || performance.now() - eventAt > patienceMs) throw error;
      await sleep(retryMs);
      continue;
    }
    reading.reconnects += 1;
  }
}

const never = new AbortController().signal;
