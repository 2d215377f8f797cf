import type { PublishOutcome, Report, Reports } from './port.ts';

export type ReportingOptions = {
  reports: Pick<Reports, 'publish' | 'remove'>;
  /** The worker's name, as on the presence list. */
  name: string;
  /** Makes the report of this moment. */
  make(): Promise<Report>;
  /** The report became too large; told once, and again only after one that was whole. */
  onTrimmed(outcome: Extract<PublishOutcome, { kind: 'trimmed' }>): void;
  onError(error: unknown): void;
};

export type Reporting = {
  /** Ends the reports and takes the last one away: the worker goes by itself. */
  leave(): Promise<void>;
};

/** Milliseconds between two reports. */
export const reportEveryMs = 1000;

/** Publishes at once, and from then on again and again. */
export function startReporting(options: ReportingOptions): Reporting {
  const { reports, name, make, onTrimmed, onError } = options;
  let underWay: Promise<void> | undefined;
  let wasTrimmed = false;

  async function publish(): Promise<void> {
    const outcome = await reports.publish(name, await make());
    if (outcome.kind === 'trimmed' && !wasTrimmed) onTrimmed(outcome);
    wasTrimmed = outcome.kind === 'trimmed';
  }

  function report(): void {
    // While Redis is away one report waits for it, and not one for every second.
    underWay ??= publish()
      .catch(onError)
      .finally(() => {
        underWay = undefined;
      });
  }

  report();
  const timer = setInterval(report, reportEveryMs);
  return {
    async leave() {
      clearInterval(timer);
      // One that is under way would come back behind the removal.
      await underWay;
      await reports.remove(name);
    },
  };
}
