export type Verdict = 'ok' | 'warning' | 'problem';

/** One line of the doctor. */
export type Check = {
  name: string;
  verdict: Verdict;
  /** What was found, without secrets. */
  found: string;
  /** What to do about it. Absent if it is ok. */
  advice?: string;
};

export const ok = (name: string, found: string): Check => ({ name, verdict: 'ok', found });

export const warning = (name: string, found: string, advice: string): Check => ({
  name,
  verdict: 'warning',
  found,
  advice,
});

export const problem = (name: string, found: string, advice: string): Check => ({
  name,
  verdict: 'problem',
  found,
  advice,
});

/** An error's message in one line; of a system error, its code. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, message } = cause as { code?: unknown; message?: unknown };
  const text = typeof message === 'string' && message !== '' ? message : String(code ?? cause);
  return text.split('\n')[0]?.slice(0, 200) ?? '';
}
