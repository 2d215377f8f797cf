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
  /** Answers with a report that is made after this. */
  answer(question: string): void;
  /** Ends the reports and takes the last one away: the worker goes by itself. */
  leave(): Promise<void>;
};

/** Milliseconds between two unrequested reports. */
export const reportEveryMs = 15_000;
/** Questions that one report answers; of more than that, askers read the one before. */
const maxQuestions = 100;

/** Publishes at once, when it is asked, and now and then. */
export function startReporting(options: ReportingOptions): Reporting {
  const { reports, name, make, onTrimmed, onError } = options;
  let underWay: Promise<void> | undefined;
  let wasTrimmed = false;
  let hasLeft = false;
  const questions = new Set<string>();

  async function publish(): Promise<void> {
    // Those that come from here on may be about what happens from here on.
    const asked = [...questions];
    questions.clear();
    const outcome = await reports.publish(name, await make(), asked);
    if (outcome.kind === 'trimmed' && !wasTrimmed) onTrimmed(outcome);
    wasTrimmed = outcome.kind === 'trimmed';
  }

  function report(): void {
    // While Redis is away one report waits for it, and not one for every second.
    underWay ??= publish()
      .catch(onError)
      .finally(() => {
        underWay = undefined;
        if (questions.size > 0) report();
      });
  }

  report();
  const timer = setInterval(report, reportEveryMs);
  return {
    answer(question) {
      if (hasLeft || questions.size >= maxQuestions) return;
      questions.add(question);
      report();
    },
    async leave() {
      hasLeft = true;
      clearInterval(timer);
      // One that is under way would come back behind the removal.
      while (underWay) await underWay;
      await reports.remove(name);
    },
  };
}
