import type { Redis } from 'ioredis';
import { keySettingNames, readKeySettings } from '../../config/key-settings.ts';
import { isJsonObject } from '../../domain/json.ts';
import type { Keyspace } from '../keys.ts';
import { records } from '../records.ts';
import { loadScript, runScript } from '../script.ts';
import { listen } from '../subscription.ts';
import { maxKeys } from './port.ts';
import type { ApiKeyStore, CreatedKey, WriteOutcome } from './port.ts';

export type RedisApiKeysOptions = {
  redis: Redis;
  keys: Keyspace;
  /** A connection of its own for each subscription: a subscribed one takes no other command. */
  connect: () => Redis;
  /** Gets a record that cannot be read. */
  onDamaged(field: string, error: unknown): void;
  onError(error: unknown): void;
};

const { apiKeys: names } = records;
const write = loadScript(new URL('lua/write.lua', import.meta.url));

/** One hash with a record for each key and the version, and a channel in the same slot. */
export function createRedisApiKeys(options: RedisApiKeysOptions): ApiKeyStore {
  const { redis, keys, connect, onDamaged, onError } = options;
  const hash = keys.apiKeys();
  const channel = keys.apiKeyChanges();

  function decode(field: string, record: string): CreatedKey | undefined {
    try {
      return keyOf(field.slice(names.key.length), record);
    } catch (error) {
      onDamaged(field, error);
      return undefined;
    }
  }

  async function change(id: string, seen: string, record: string): Promise<WriteOutcome> {
    const args = [names.key + id, seen, record, maxKeys];
    const kind = await runScript(redis, write, [hash, channel], args);
    return { kind: kind as WriteOutcome['kind'] };
  }

  return {
    async read() {
      const { [names.version]: version = '0', ...others } = await redis.hgetall(hash);
      const found = Object.entries(others).flatMap(([field, record]) => {
        const key = field.startsWith(names.key) ? decode(field, record) : undefined;
        return key ? [key] : [];
      });
      return { version: Number(version), keys: found };
    },
    async find(id) {
      const record = await redis.hget(hash, names.key + id);
      return record === null ? undefined : decode(names.key + id, record);
    },
    version: async () => Number((await redis.hget(hash, names.version)) ?? 0),
    write: async (key, seen) => change(key.id, seen ? textOf(seen) : '', textOf(key)),
    remove: async (seen) => change(seen.id, textOf(seen), ''),
    subscribe(onChange) {
      return listen(connect(), channel, { onText: onChange, onListening: onChange }, onError);
    },
  };
}

/** The same text for a key that was read and not changed: JSON keeps the order of fields, also of unknown ones. */
const textOf = (key: CreatedKey): string => JSON.stringify(key);

/**
 * Throws on a record that this version cannot read. Each field is checked: one damaged record must neither stop the readers of
 * all others nor make its own key valid for longer.
 */
function keyOf(id: string, record: string): CreatedKey {
  const key: unknown = JSON.parse(record);
  if (!isJsonObject(key)) throw new Error('an API key that is no object');
  if (key['id'] !== id) throw new Error('an API key with the id of another');
  if (!isTime(key['createdAt']) || !mayBeTime(key['expiresAt']) || !mayBeTime(key['revokedAt'])) {
    throw new Error('an API key with a time that is no number');
  }
  const { secrets } = key;
  if (!Array.isArray(secrets) || !secrets.every(isSecret)) {
    throw new Error('an API key with secrets that are none');
  }
  checkSettings(key);
  return key as unknown as CreatedKey;
}

/** A setting that is absent is damage, not its default: `models` and `ips` would allow more than the operator did. */
function checkSettings(key: Record<string, unknown>): void {
  const missing = neededSettings.find((name) => key[name] === undefined);
  if (missing !== undefined) throw new Error(`an API key without ${missing}`);
  // Fields of later versions are none of the schema.
  const settings = Object.fromEntries(
    keySettingNames.filter((name) => Object.hasOwn(key, name)).map((name) => [name, key[name]]),
  );
  // The config may have lost an alias since: the key stays.
  const aliases = Array.isArray(key['models']) ? (key['models'] as string[]) : [];
  const read = readKeySettings(settings, aliases);
  if (read.kind === 'read') return;
  throw new Error(read.errors.map(({ field, message }) => `${field}: ${message}`).join('; '));
}

const neededSettings = ['models', 'ips', 'priority', 'weight'];

const isSecret = (secret: unknown): boolean =>
  isJsonObject(secret) &&
  typeof secret['sha256'] === 'string' &&
  /^[0-9a-f]{64}$/.test(secret['sha256']) &&
  isTime(secret['createdAt']) &&
  mayBeTime(secret['until']);

const isTime = (value: unknown): boolean => Number.isFinite(value);
const mayBeTime = (value: unknown): boolean => value === undefined || isTime(value);
