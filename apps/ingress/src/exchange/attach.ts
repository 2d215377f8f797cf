import type { Described } from '@millrace/shared/store/stream-log/port';
import type { Services } from '../services.ts';
import { within } from './timeout.ts';
import { apiError } from '../errors.ts';

/**
 * For the second one who asks with an Idempotency-Key: what is there of the request, with this
 * ingress as one of its readers. `read` opens the reader; no other's leaving comes in between.
 */
export async function attachRequest(
  { relay, log, inbox }: Services,
  id: string,
  read: (described: Described) => void,
): Promise<void> {
  const hold = relay.hold(id);
  try {
    const described = await within(log.subscribe(id, inbox));
    // Its retention ended in this moment.
    if (!described) throw apiError('stream_lost');
    read(described);
  } finally {
    hold.release();
  }
}
