import { createHash } from 'node:crypto';
import type { ConfigState, ReloadCause } from '../../runtime/config-source.ts';
import type { AuditWriter } from './audit-writer.ts';

export type ConfigAuditOptions = {
  audit: Pick<AuditWriter, 'recordConfig'>;
  /** The name of this process. */
  actor: string;
  state(): ConfigState;
};

export type ConfigAudit = {
  /** To be called after the process has read its config. */
  changed(cause: ReloadCause | 'start'): void;
  stop(): void;
};

/** Milliseconds until an entry that Redis did not take is tried again. */
const retryMs = 5000;

/** Records which config the process uses, or why it refuses the file, unless another process has recorded it. */
export function createConfigAudit({ audit, actor, state }: ConfigAuditOptions): ConfigAudit {
  let recorded = '';
  let retry: NodeJS.Timeout | undefined;

  async function record(cause: ReloadCause | 'start'): Promise<void> {
    clearTimeout(retry);
    const { hash, problems, needsRestart, changed } = state();
    const isRefused = problems.length > 0;
    const value = isRefused ? `${hash} ${digest(problems.join('\n'))}` : hash;
    if (value === recorded) return;
    const isStored = await audit.recordConfig(value, {
      actor,
      action: isRefused ? 'config.refused' : 'config.changed',
      target: hash,
      outcome: isRefused ? 'invalid_config' : 'ok',
      detail: isRefused
        ? { cause, problems }
        : { cause, changed: changed ?? [], needs_restart: needsRestart },
    });
    if (isStored) recorded = value;
    else retry = setTimeout(() => void record(cause), retryMs).unref();
  }

  return {
    changed: (cause) => void record(cause),
    stop: () => clearTimeout(retry),
  };
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);
