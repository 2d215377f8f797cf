import type { Redis } from '../redis.ts';
import { maxAuditBacklog, maxAuditDetail, maxRefusedBacklog } from '../../domain/audit.ts';
import type { AuditEntry } from '../../domain/audit.ts';
import type { Logger } from '../../runtime/logger.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { Keyspace } from '../keys.ts';
import { loadScript, runScript } from '../script.ts';

export type NewAuditEntry = Omit<AuditEntry, 'id' | 'at'> & { at?: number };

export type AuditWriter = {
  /**
   * Resolves when Redis has the entry. Never rejects, and takes at most a second: an entry that Redis does not take is logged.
   * False if another try may store it.
   */
  record(entry: NewAuditEntry): Promise<boolean>;
  /**
   * As `record`, for a change of the config that every process sees: the first process that calls it for a new `config` (a text
   * that describes the state) records it.
   */
  recordConfig(config: string, entry: NewAuditEntry): Promise<boolean>;
};

export type AuditWriterOptions = {
  redis: Redis;
  keys: Keyspace;
  /** Whether the fleet has a database. If not, entries are logged only. */
  isKept: boolean;
  isReady(): boolean;
  logger: Pick<Logger, 'info' | 'warn'>;
  now?(): number;
};

/** Milliseconds that Redis has to take an entry. */
const patienceMs = 1000;

const script = loadScript(new URL('lua/add.lua', import.meta.url));

export function createAuditWriter(options: AuditWriterOptions): AuditWriter {
  const { redis, keys, isKept, isReady, logger, now = Date.now } = options;

  async function add(entry: AuditEntry, config: string): Promise<'added' | 'known' | 'full'> {
    if (!isReady()) throw new Error('Redis is away');
    const most = entry.action === 'key.refused' ? maxRefusedBacklog : maxAuditBacklog;
    const work = runScript(
      redis,
      script,
      [keys.audit(), keys.auditState()],
      [JSON.stringify(entry), most, config],
    );
    const late = () => new Error('Redis does not answer');
    return (await withTimeout(work, patienceMs, late)) as 'added' | 'known' | 'full';
  }

  async function write(fresh: NewAuditEntry, config: string): Promise<boolean> {
    const entry: AuditEntry = bounded({ id: crypto.randomUUID(), at: now(), ...fresh });
    if (!isKept) {
      // The process logs changes of its config by itself.
      if (config === '') logger.info({ audit: entry }, 'audit');
      return true;
    }
    try {
      const outcome = await add(entry, config);
      if (outcome !== 'full') return true;
      logger.warn({ audit: entry }, 'an audit entry is not kept: too many wait for the database');
    } catch (error) {
      logger.warn({ audit: entry, err: error }, 'an audit entry is not kept');
    }
    return false;
  }

  return {
    record: (entry) => write(entry, ''),
    recordConfig: (config, entry) => write(entry, config),
  };
}

function bounded(entry: AuditEntry): AuditEntry {
  const { detail } = entry;
  if (detail === undefined || JSON.stringify(detail).length <= maxAuditDetail) return entry;
  return { ...entry, detail: { omitted: 'too long' } };
}
