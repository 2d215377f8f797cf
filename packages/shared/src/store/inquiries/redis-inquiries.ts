import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { isJsonObject, readJsonObject } from '../../domain/json.ts';
import type { Inquiry } from '../../domain/inquiry.ts';
import type { FleetProcess } from '../fleet/port.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';
import { inquiryMessage } from './port.ts';
import type { Asked, Inquiries, ProcessAnswer, Respondent } from './port.ts';

/** Milliseconds in which processes should answer; a slower one is left out. */
const patienceMs = 400;
/** Milliseconds until the first check whether all have answered; doubled with every check. */
const firstLookMs = 2;
/** Milliseconds for which an answer stays in Redis. */
const answerTtlMs = 2 * patienceMs;
/** The most characters of an answer; a longer one is not sent. */
const maxAnswerChars = 1024 * 1024;
/** Most answers that one process sends at a time; it ignores further inquiries meanwhile. */
const maxAnswering = 20;

const load = (name: string) => loadScript(new URL(`lua/${name}.lua`, import.meta.url));
const scripts = { ask: load('ask'), answer: load('answer') };

export type RedisInquiriesOptions = {
  redis: Redis;
  keys: Keyspace;
  /** The processes of the fleet. */
  processes(): Promise<readonly FleetProcess[]>;
};

/** Channels and answers are in shard 0, as the list of processes is. */
export function createRedisInquiries({ redis, keys, processes }: RedisInquiriesOptions): Inquiries {
  async function waitFor(list: string, heard: number, until: number): Promise<void> {
    for (let waitMs = firstLookMs; performance.now() < until; waitMs *= 2) {
      if ((await redis.llen(list)) >= heard) return;
      await sleep(Math.max(0, Math.min(waitMs, until - performance.now())));
    }
  }

  return {
    async ask(role, inquiry): Promise<Asked> {
      const asked = (await processes()).filter((one) => one.role === role && one.isListening);
      if (asked.length === 0) return { answers: [], heard: 0 };
      const question = randomUUID();
      const list = keys.inquiryAnswers(question);
      const channel = role === 'worker' ? keys.worker : keys.inbox;
      const message = `${inquiryMessage}${question} ${JSON.stringify(inquiry)}`;
      const channels = asked.map(({ name }) => channel(0, name));
      const heard = Number(await runScript(redis, scripts.ask, [list], [message, ...channels]));
      if (heard === 0) return { answers: [], heard };
      await waitFor(list, heard, performance.now() + patienceMs);
      const texts = await redis.lrange(list, 0, -1);
      const answers = texts.flatMap((text) => parseAnswer(text) ?? []);
      return { answers: answers.sort((a, b) => (a.name < b.name ? -1 : 1)), heard };
    },
  };
}

export type RespondentOptions = {
  redis: Redis;
  keys: Keyspace;
  name: string;
  /** The value is sent as JSON. Throws or returns undefined for an inquiry that this process does not know. */
  answer(inquiry: Inquiry): unknown;
  onError(error: unknown): void;
};

export function createRedisRespondent(options: RespondentOptions): Respondent {
  const { redis, keys, name, answer, onError } = options;
  let answering = 0;

  async function send(question: string, inquiry: Inquiry): Promise<void> {
    const value = answer(inquiry);
    if (value === undefined) return;
    const text = JSON.stringify({ name, value });
    if (text.length > maxAnswerChars) throw new Error(`an answer of ${text.length} characters`);
    const list = keys.inquiryAnswers(question);
    await runScript(redis, scripts.answer, [list], [text, answerTtlMs]);
  }

  return {
    receive(message) {
      const [question = '', ...rest] = message.slice(inquiryMessage.length).split(' ');
      const inquiry = readJsonObject(rest.join(' '));
      if (!inquiry || answering >= maxAnswering) return;
      answering += 1;
      send(question, inquiry as Inquiry)
        .catch(onError)
        .finally(() => (answering -= 1));
    },
  };
}

/** Undefined if the text is no answer, as from another version. */
function parseAnswer(text: string): ProcessAnswer | undefined {
  const parsed = readJsonObject(text);
  if (!parsed || typeof parsed['name'] !== 'string' || !isJsonObject(parsed['value'])) {
    return undefined;
  }
  return { name: parsed['name'], value: parsed['value'] };
}
