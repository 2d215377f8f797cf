import type { Redis } from 'ioredis';
import type { DispatchedJob } from '../../domain/dispatch.ts';
import { parseKill, parseOrder } from '../../domain/order.ts';
import type { Keyspace } from '../keys.ts';
import { parseFrames } from './frame.ts';
import { inquiryMessage } from '../inquiries/port.ts';
import { reportQuestion } from '../reports/port.ts';
import type { LiveChannels } from './port.ts';

/** The prefix of a message with a job for a worker. */
const jobMessage = 'job\n';

export type RedisChannelsOptions = {
  keys: Keyspace;
  shards: number;
  /** For questions. */
  redis: Redis;
  /** A connection of its own for each inbox or worker: a subscribed one takes no other command. */
  connect: () => Redis;
  onError: (error: unknown) => void;
};

/**
 * The live paths as sharded pub/sub channels. Redis pushes to them, so no process polls, and they do not use
 * the append-only file. Messages are only lost with a dropped connection (Redis also drops a subscriber that
 * reads too slowly), which both sides notice: `onGap` then makes every reader return to its log.
 */
export function createRedisChannels(options: RedisChannelsOptions): LiveChannels {
  const { keys, shards, redis, connect, onError } = options;
  const everyShard = Array.from({ length: shards }, (_, shard) => shard);

  async function subscribe(
    channels: string[],
    onMessage: (channel: string, message: string) => void,
    onResubscribed: () => void,
  ) {
    const connection = connect();
    let closed = false;
    connection.on('smessage', (channel: string, message: string) => {
      // Messages that were read already still arrive after a disconnect.
      if (closed) return;
      try {
        onMessage(channel, message);
      } catch (error) {
        onError(error);
      }
    });
    const subscribeAll = () =>
      Promise.all(channels.map((channel) => connection.ssubscribe(channel)));
    let connections = 0;
    /** The connection on which all were subscribed for the first time. */
    let openedAt = Infinity;
    // Also before all of them are subscribed: a new connection has none of those of the one before. From then on, messages
    // during an interruption are lost, and once the subscriptions are restored, reading the logs closes the gap.
    connection.on('ready', () => {
      const own = ++connections;
      subscribeAll().then(() => (own > openedAt ? onResubscribed() : undefined), onError);
    });
    await subscribeAll();
    openedAt = connections;
    return async () => {
      closed = true;
      connection.disconnect();
    };
  }

  async function countListeners(shard: number): Promise<number> {
    const reply = await redis.call('PUBSUB', 'SHARDNUMSUB', keys.workers(shard));
    return (reply as [string, number])[1];
  }

  return {
    async openInbox(name, { onFrame, onOrder, onInquiry, onGap }) {
      const close = await subscribe(
        // lua/pack.lua compares the two by name. While only the inbox is subscribed, nothing is packed.
        everyShard.flatMap((shard) => [keys.inbox(shard, name), keys.logReader(shard, name)]),
        (_channel, message) => {
          const order = parseOrder(message);
          if (order) onOrder?.(order);
          else if (message.startsWith(inquiryMessage)) onInquiry?.(message);
          else for (const frame of parseFrames(message)) onFrame(frame);
        },
        onGap,
      );
      return { name, close };
    },

    async openWorker(name, events) {
      const { onFinished, onJob, onJobsWaiting, onQuestion, onOrder, onKill, onInquiry, onGap } =
        events;
      const own = everyShard.map((shard) => keys.worker(shard, name));
      const everybodys = everyShard.map((shard) => keys.workers(shard));
      const onMessage = (channel: string, message: string) => {
        const shard = everybodys.indexOf(channel);
        const order = parseOrder(message);
        const kill = parseKill(message);
        if (order) onOrder?.(order);
        else if (kill) onKill?.(kill.request);
        else if (message.startsWith(reportQuestion))
          onQuestion?.(message.slice(reportQuestion.length));
        else if (message.startsWith(inquiryMessage)) onInquiry?.(message);
        else if (message.startsWith(jobMessage)) onJob?.(own.indexOf(channel), parseJob(message));
        else if (shard < 0) onFinished(message);
        else onJobsWaiting(shard, Number(message));
      };
      const close = await subscribe([...own, ...everybodys], onMessage, onGap);
      return { close };
    },

    async countWorkers() {
      return Math.min(...(await Promise.all(everyShard.map(countListeners))));
    },
  };
}

/** Parses the message of store/queue/lua/submit.lua; only the body may have line breaks. */
function parseJob(message: string): DispatchedJob {
  const fields: string[] = [];
  let from = jobMessage.length;
  for (let i = 0; i < 6; i += 1) {
    const end = message.indexOf('\n', from);
    fields.push(message.slice(from, end));
    from = end + 1;
  }
  const [number, redisAt, id = '', token = '', data = '', opts = ''] = fields;
  const body = message.slice(from);
  return { number: Number(number), redisAt: Number(redisAt), id, token, data, opts, body };
}
