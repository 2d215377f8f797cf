import type { Seam, Transcript } from './transcript.ts';

/* What happened to an answer, in sentences: each seam, with the fault that the operator caused before it. */

/** Something that the operator did to the answer while it came. */
export type Fault = {
  /** `connection`: the page cut its own. `reload`: the page was left, and opened again. */
  action: 'kill-worker' | 'cut' | 'stall' | 'connection' | 'reload';
  at: number;
  /** Tokens that the reader had. */
  token: number;
  /** The worker or the provider that it hit, if the control plane named it. */
  subject: string | undefined;
};

export type AnswerEvent = { key: string; text: string; tone: 'seam' | 'quiet' };

/** In the order in which they happened. */
export function eventsOf(transcript: Transcript, faults: readonly Fault[]): AnswerEvent[] {
  const found: (AnswerEvent & { at: number })[] = transcript.seams.map((seam, index) => ({
    at: seam.to.at,
    key: `seam ${index}`,
    text: seamSentence(seam, faultBefore(seam, transcript.seams[index - 1], faults)),
    tone: 'seam',
  }));
  for (const [index, fault] of faults.entries()) {
    const what = interruptions[fault.action];
    if (what === undefined) continue;
    found.push({
      at: fault.at,
      key: `fault ${index}`,
      text: `This page ${what} at token ${fault.token} and read on behind its last event: no token is missing, none came twice.`,
      tone: 'quiet',
    });
  }
  if (transcript.resets > 0) {
    found.push({
      at: Number.MAX_VALUE,
      key: 'resets',
      text: 'The answer began anew, and the reader discarded what it had.',
      tone: 'quiet',
    });
  }
  return found.sort((one, other) => one.at - other.at).map(({ at: _, ...event }) => event);
}

/** What happens to the reader alone: the answer goes on meanwhile. */
const interruptions: Partial<Record<Fault['action'], string>> = {
  connection: 'lost its connection',
  reload: 'was left, and opened again,',
};

function faultBefore(seam: Seam, before: Seam | undefined, faults: readonly Fault[]) {
  return faults.findLast(
    ({ action, at }) =>
      interruptions[action] === undefined &&
      at <= seam.to.at &&
      (before === undefined || at > before.to.at),
  );
}

/** `worker-a died at token 31; another worker continued 104 ms later at simulated-backup.` */
export function seamSentence(seam: Seam, fault: Fault | undefined): string {
  const { to, cause, gapMs, token } = seam;
  const later =
    gapMs === undefined ? 'is about to continue' : `continued ${milliseconds(gapMs)} later`;
  const end =
    cause === 'worker' ? `another worker ${later} at ${to.provider}` : continued(seam, later);
  return `${what(seam, fault)} at token ${token}; ${end}${how(to.mode)}.`;
}

function what({ cause, from }: Seam, fault: Fault | undefined): string {
  if (cause === 'worker') {
    return fault?.action === 'kill-worker'
      ? `${fault.subject ?? 'Its worker'} died`
      : 'Its worker was lost';
  }
  if (fault?.action === 'stall') return `${from.provider} fell silent`;
  return fault?.action === 'cut' ? `${from.provider} was cut off` : `${from.provider} broke off`;
}

const continued = ({ from, to }: Seam, later: string): string =>
  from.provider === to.provider
    ? `another call of ${to.provider} ${later}`
    : `${to.provider} ${later}`;

/** What the modes of docs/operating.md mean for the reader. */
function how(mode: string): string {
  if (mode === 'replay') return ', with a new answer whose beginning the worker held back';
  if (mode === 'anchor') return ', asked to repeat the last words and to go on';
  return '';
}

const milliseconds = (ms: number): string => `${Math.round(ms).toLocaleString('en')} ms`;
