import type { Seam, Transcript } from './transcript.ts';

/* What happened to an answer, in sentences: each seam, with what the operator broke before it. */

/** Something that the operator broke while the answer came. */
export type Deed = {
  action: 'kill-worker' | 'cut' | 'stall' | 'connection';
  at: number;
  /** Tokens that the reader had. */
  token: number;
  /** The worker or the provider that it hit, if the control plane named it. */
  subject: string | undefined;
};

export type Happening = { key: string; text: string; tone: 'seam' | 'quiet' };

/** In the order in which they happened. */
export function happenings(transcript: Transcript, deeds: readonly Deed[]): Happening[] {
  const found: (Happening & { at: number })[] = transcript.seams.map((seam, index) => ({
    at: seam.to.at,
    key: `seam ${index}`,
    text: seamSentence(seam, deedBefore(seam, transcript.seams[index - 1], deeds)),
    tone: 'seam',
  }));
  for (const [index, deed] of deeds.entries()) {
    if (deed.action !== 'connection') continue;
    found.push({
      at: deed.at,
      key: `deed ${index}`,
      text: `This page lost its connection at token ${deed.token} and read on behind its last event: no token is missing, none came twice.`,
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
  return found.sort((one, other) => one.at - other.at).map(({ at: _, ...happening }) => happening);
}

function deedBefore(seam: Seam, before: Seam | undefined, deeds: readonly Deed[]) {
  return deeds.findLast(
    ({ action, at }) =>
      action !== 'connection' && at <= seam.to.at && (before === undefined || at > before.to.at),
  );
}

/** `worker-a died at token 31; another worker continued 104 ms later at simulated-backup.` */
export function seamSentence(seam: Seam, deed: Deed | undefined): string {
  const { to, cause, gapMs, token } = seam;
  const later =
    gapMs === undefined ? 'is about to continue' : `continued ${milliseconds(gapMs)} later`;
  const end =
    cause === 'worker' ? `another worker ${later} at ${to.provider}` : continued(seam, later);
  return `${what(seam, deed)} at token ${token}; ${end}${how(to.mode)}.`;
}

function what({ cause, from }: Seam, deed: Deed | undefined): string {
  if (cause === 'worker') {
    return deed?.action === 'kill-worker'
      ? `${deed.subject ?? 'Its worker'} died`
      : 'Its worker was lost';
  }
  if (deed?.action === 'stall') return `${from.provider} fell silent`;
  return deed?.action === 'cut' ? `${from.provider} was cut off` : `${from.provider} broke off`;
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
