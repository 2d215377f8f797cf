import { pino, stdSerializers, type Logger } from 'pino';
import type { Bound } from './bounds.ts';
import { logLevel } from '../config/log-level.ts';
import { withoutSecrets } from './log-redaction.ts';
import { createLogWriter } from './log-writer.ts';
import type { LogWriter } from './log-writer.ts';

export type { Logger } from 'pino';

/** Bytes of lines that wait to be written; further lines are dropped. */
const maxBufferedBytes = 4 * 1024 * 1024;

/** Levels of a logged object that are searched for fields with secrets. */
const secretLevels = 3;

/**
 * JSON lines on standard error (standard output is for `millrace ready`). The level is LOG_LEVEL,
 * `info` by default; `silent` turns it off. Fields that hold secrets are replaced by `[redacted]`,
 * down to the third level of a logged object; callers keep secrets out of texts.
 *
 * Lines are written asynchronously, so that neither a full pipe nor a full disk stops the process, and flushed
 * at its exit.
 */
export function createLogger({
  name,
  level = logLevel(),
  fd = 2,
}: {
  name: string;
  level?: string | undefined;
  fd?: number;
}): Logger {
  const known = level !== undefined && (level === 'silent' || level in pino.levels.values);
  const destination = createLogWriter(fd, maxBufferedBytes);
  const logger = pino(
    {
      name,
      level: known ? level : 'info',
      serializers: { err: printableError },
      formatters: { log: loggable },
    },
    destination,
  );
  buffers.set(logger, destination);
  if (level && !known) logger.warn({ level }, 'LOG_LEVEL is not a level; using info');
  return logger;
}

const buffers = new WeakMap<Logger, LogWriter>();

/** The lines that wait to be written, and those that were dropped beyond the bound. */
export const logBound = (logger: Logger): Bound & { max: number } => {
  return {
    what: 'log_buffer',
    unit: 'bytes',
    limit: 'maxBufferedBytes',
    max: maxBufferedBytes,
    read: () => buffers.get(logger)?.held ?? 0,
    dropped: () => buffers.get(logger)?.dropped ?? 0,
  };
};

/** Leaves `err` to its serializer, which makes it a plain object. */
function loggable(fields: Record<string, unknown>): Record<string, unknown> {
  if (!(fields['err'] instanceof Error)) return withoutSecrets(fields, secretLevels);
  const { err, ...others } = fields;
  return { ...withoutSecrets(others, secretLevels), err };
}

function printableError(error: Error): unknown {
  const plain = withoutArguments(error);
  return typeof plain === 'object' && plain !== null ? withoutSecrets(plain, secretLevels) : plain;
}

/** Redis errors carry their command. The name is enough; the arguments hold bodies and passwords. */
function withoutArguments(error: Error): unknown {
  const plain: unknown = stdSerializers.err(error);
  if (typeof plain !== 'object' || plain === null || !('command' in plain)) return plain;
  const { command } = plain;
  const name = typeof command === 'object' && command !== null && Reflect.get(command, 'name');
  return Object.defineProperty({ ...plain, command: name }, 'raw', { value: error });
}
