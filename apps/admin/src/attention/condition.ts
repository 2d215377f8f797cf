export const severities = ['critical', 'warning', 'info'] as const;
export type Severity = (typeof severities)[number];

/** Something that an operator may have to act on. */
export type Condition = {
  /** What it is, such as `target_open`. */
  readonly code: string;
  /** Of which part of the fleet, such as the name of a target; empty: of the fleet. */
  readonly subject: string;
  readonly severity: Severity;
  readonly title: string;
  /** One sentence. */
  readonly detail: string;
  /** When it began (milliseconds since the epoch), if its source knows. */
  readonly sinceAt?: number | undefined;
  /** The page of the console that has more. */
  readonly link: string;
};

/** Equal for the same condition in two looks. */
export const idOf = ({ code, subject }: Pick<Condition, 'code' | 'subject'>): string =>
  subject === '' ? code : `${code}:${subject}`;

/** Worst first; of the same severity, by their ids, so that the list stays still. */
export function byUrgency(one: Condition, other: Condition): number {
  const worse = severities.indexOf(one.severity) - severities.indexOf(other.severity);
  return worse || (idOf(one) < idOf(other) ? -1 : 1);
}

export const pages = {
  requests: '/admin/console/requests',
  fleet: '/admin/console/fleet',
  upstreams: '/admin/console/upstreams',
  queue: '/admin/console/queue',
  keys: '/admin/console/keys',
  config: '/admin/console/config',
  webhooks: '/admin/console/webhooks',
} as const;

/** `1 request`, `2 requests`. */
export const countOf = (number: number, what: string, several = `${what}s`): string =>
  `${number.toLocaleString('en-US')} ${number === 1 ? what : several}`;

/** The first few names, and how many there are besides. */
export function namesOf(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** A duration in words: `45 s`, `12 min`, `3 h`. */
export function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/** One line of bounded length, for texts of providers and of other processes. */
export const excerpt = (text: string, most = 200): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
};
