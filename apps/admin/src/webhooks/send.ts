import { version } from '@millrace/shared/runtime/version';
import type { Attempted, Delivery } from '@millrace/shared/store/webhooks/port';
import { Webhook } from 'standardwebhooks';
import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { excerpt } from '../attention/condition.ts';
import { createConnector } from './connector.ts';

export type SenderOptions = {
  /** `whsec_…` */
  secret: string;
  allowPrivate: boolean;
  /**
   * Milliseconds for a whole attempt, from the name to the answer.
   * @defaultValue 10000
   */
  timeoutMs?: number;
  /**
   * Attempts to one origin at a time, so that a receiver that hangs does not take all of them.
   * @defaultValue 8
   */
  perOrigin?: number;
};

export type Sender = {
  /** One attempt. Never rejects. */
  send(delivery: Delivery, signal: AbortSignal): Promise<Attempted>;
  close(): Promise<void>;
};

/** Bytes of an answer that are read; the connection is closed then. */
const maxAnswerBytes = 4096;
/** Milliseconds after which an attempt to a busy origin is due again, at first. */
const busyMs = 1000;
/** Connections to an origin beside those for messages about jobs. */
const alertConnections = 2;

/** Signs deliveries (Standard Webhooks) and POSTs them. Follows no redirect, and goes through no proxy. */
export function createSender(options: SenderOptions): Sender {
  const { secret, allowPrivate, timeoutMs = 10_000, perOrigin = 8 } = options;
  const signer = new Webhook(secret);
  const agent = new Agent({
    connect: createConnector({ allowPrivate, timeoutMs }),
    connections: perOrigin + alertConnections,
    keepAliveTimeout: 4000,
    maxResponseSize: -1,
    maxHeaderSize: 16_384,
  });
  const underWay = new Map<string, number>();

  async function post(delivery: Delivery, signal: AbortSignal): Promise<Attempted> {
    const now = new Date();
    const answer = await request(delivery.url, {
      method: 'POST',
      dispatcher: agent,
      signal,
      headers: {
        'content-type': 'application/json',
        'user-agent': `millrace/${version}`,
        'webhook-id': delivery.id,
        'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
        'webhook-signature': signer.sign(delivery.id, now, delivery.body),
      },
      body: delivery.body,
    });
    // The status decides: an answer that breaks off, or never ends, has been given.
    const text = await readSome(answer.body).catch(() => '');
    return verdictOf(answer, text);
  }

  return {
    async send(delivery, stop) {
      const { origin } = new URL(delivery.url);
      const busy = underWay.get(origin) ?? 0;
      // An operator's alerts do not wait for the messages of clients.
      if (busy >= perOrigin && delivery.request !== null) return { kind: 'postponed', ms: busyMs };
      underWay.set(origin, busy + 1);
      const limit = AbortSignal.timeout(timeoutMs);
      try {
        return await post(delivery, AbortSignal.any([limit, stop]));
      } catch (error) {
        const reason = limit.aborted
          ? `the receiver did not answer within ${timeoutMs / 1000} s`
          : reasonOf(error);
        return { kind: 'failed', reason: excerpt(reason, 500) };
      } finally {
        const left = (underWay.get(origin) ?? 1) - 1;
        if (left === 0) underWay.delete(origin);
        else underWay.set(origin, left);
      }
    },
    close: () => agent.destroy(),
  };
}

function verdictOf(
  { statusCode: status, headers }: Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>,
  text: string,
): Attempted {
  if (status >= 200 && status < 300) return { kind: 'delivered', status };
  if (status >= 300 && status < 400) {
    const to = excerpt(String(headers.location ?? 'no location'));
    const reason = `the receiver answered ${status}, a redirect (${to}); redirects are not followed`;
    return { kind: 'failed', status, reason };
  }
  // 410 means that the receiver is gone for good.
  if (status === 410) return { kind: 'refused', status, reason: 'the receiver answered 410 Gone' };
  const said = text.trim() === '' ? '' : `: ${excerpt(text)}`;
  return { kind: 'failed', status, reason: `the receiver answered ${status}${said}` };
}

/** The beginning of an answer. */
async function readSome(body: Dispatcher.ResponseData['body']): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop destroys the body, and with it the connection.
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes >= maxAnswerBytes) break;
  }
  return Buffer.concat(parts).subarray(0, maxAnswerBytes).toString();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A name with several addresses fails with an error that has no text of its own.
  const [first] = error instanceof AggregateError ? (error.errors as Error[]) : [];
  return first?.message ?? (error.message || error.name);
}
