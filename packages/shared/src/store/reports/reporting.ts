import type { PublishOutcome, Report, Reports } from './port.ts';

export type ReportingOptions = {
  reports: Pick<Reports, 'publish' | 'remove'>;
  /** The worker's name, as in the registry. */
  name: string;
  /** Makes a report of the current state. */
  make(): Promise<Report>;
  /** The report has become too large; called once, and again only after a complete one. */
  onTrimmed(outcome: Extract<PublishOutcome, { kind: 'trimmed' }>): void;
  onError(error: unknown): void;
};

export type Reporting = {
  /** Answers with a report that is made after this call. */
  answer(question: string): void;
  /** Ends the reports and removes the last one, because the worker stops in order. */
  leave(): Promise<void>;
};

/** Milliseconds between two unrequested reports. */
export const reportEveryMs = 15_000;
/** The most questions that one report answers; further askers read the previous report. */
const maxQuestions = 100;

/** Publishes a report at once, on every question, and every `reportEveryMs`. */
export function startReporting(options: ReportingOptions): Reporting {
  const { reports, name, make, onTrimmed, onError } = options;
  let underWay: Promise<void> | undefined;
  let wasTrimmed = false;
  let hasLeft = false;
  const questions = new Set<string>();

  async function publish(): Promise<void> {
    // Later questions may be about later events.
    const asked = [...questions];
    questions.clear();
    const outcome = await reports.publish(name, await make(), asked);
    if (outcome.kind === 'trimmed' && !wasTrimmed) onTrimmed(outcome);
    wasTrimmed = outcome.kind === 'trimmed';
  }

  function report(): void {
    // During an outage of Redis one report waits, not one for every interval.
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
      // A report in flight would be written after the removal.
      while (underWay) await underWay;
      await reports.remove(name);
    },
  };
}
