import { startDemoFleet } from '../demo/fleet.ts';
import { startReading } from '../demo/reader.ts';
import type { Reading } from '../demo/reader.ts';
import { connect, Refused, Unreachable } from '../http/ingress.ts';
import type { Ingress } from '../http/ingress.ts';
import { CommandFailed } from '../io.ts';
import type { Io } from '../io.ts';
import { milliseconds, plural } from '../output/format.ts';
import type { FleetView } from './status.ts';

export type DemoOptions = {
  /** Streams that are open when a process is killed. */
  streams: number;
  port: number;
  /** Leaves the fleet running until the operator interrupts the command. */
  stay?: true;
  verbose?: true;
};

/** Pieces of text that each stream has shown when a process is killed: a sixth of its answer. */
const textsBefore = 10;
const pollMs = 50;
/** Milliseconds that the control plane and a restarted process may take. */
const patienceMs = 30_000;

/**
 * `demo`: starts a fleet of its own with simulated providers, then lets a provider break off, kills a worker and kills the
 * ingress, each in the middle of answers, and shows what their readers see. Ends with exit code 1 if an answer was not whole.
 */
export async function demo(io: Io, options: DemoOptions): Promise<void> {
  const { streams, port, stay, verbose } = options;
  const say = (text = ''): void => io.out(`${text}\n`);
  say('Starting Redis, two workers, an ingress, a control plane and two simulated providers …');
  const onLine = (line: string): void => {
    if (verbose) io.err(`${line}\n`);
  };
  const fleet = await startDemoFleet({ port, workers: 2, env: io.env, onLine });
  try {
    const ingress = connect({ urls: [fleet.url], admin: undefined, apiKey: undefined }, io.signal);
    await fleetView(ingress);
    say(`Watch it in a browser: ${fleet.url}/admin`);
    const whole = await providerBreaks(ingress, io);
    const stories = [
      await processDies(ingress, io, { role: 'worker', streams, whole }),
      await processDies(ingress, io, { role: 'ingress', streams, whole }),
    ];
    say();
    const broken = stories.reduce((sum, { broken: count }) => sum + count, 0);
    if (broken > 0) throw new CommandFailed(`${plural(broken, 'answer')} of them not whole`);
    say('A stream that has started reaches its end.');
    if (!stay) return;
    say(
      `The fleet serves until Ctrl-C: what was rescued is at ${fleet.url}/admin/console/requests.`,
    );
    await new Promise(() => {});
  } finally {
    await fleet.stop();
  }
}

/** The first provider of the model breaks off; returns the whole text, with which later ones are compared. */
async function providerBreaks(ingress: Ingress, { out }: Io): Promise<string> {
  out('\n1. A provider breaks off in the middle of its answer (model simulated-cut).\n\n');
  const { reading, finished } = await startReading(ingress, 'simulated-cut', {
    onText: out,
    onAttempt: (target, number) => number > 1 && out(`\n   [${target} continues]\n`),
  });
  await finished;
  const pauseMs = longestPause(reading);
  out(`\n\n   ${ended(reading)}; its longest pause: ${milliseconds(pauseMs)}.\n`);
  return reading.text;
}

type Killing = { role: 'worker' | 'ingress'; streams: number; whole: string };

/** Opens many streams, kills one process with SIGKILL, and reads them all to their end. */
async function processDies(
  ingress: Ingress,
  { out }: Io,
  { role, streams, whole }: Killing,
): Promise<{ broken: number }> {
  const number = role === 'worker' ? 2 : 3;
  const name = role === 'worker' ? 'one of the two workers' : 'the only ingress';
  out(`\n${number}. ${streams} streams are open, and ${name} is killed with SIGKILL.\n\n`);
  const victim = await processOf(ingress, role);
  const readings = await Promise.all(
    Array.from({ length: streams }, () => startReading(ingress, 'simulated')),
  );
  const all = Promise.all(readings.map(({ finished }) => finished));
  const begun = until(() => readings.every(({ reading }) => reading.textAt.length >= textsBefore));
  await Promise.race([begun, all.then(() => begun)]);
  const killedAt = performance.now();
  process.kill(victim, 'SIGKILL');
  await all;
  const read = readings.map(({ reading }) => reading);
  const hit = read.filter(({ attempts, reconnects }) =>
    role === 'worker' ? attempts.length > 1 : reconnects > 0,
  );
  const pauses = hit.map((reading) => longestPause(reading, killedAt)).toSorted((a, b) => a - b);
  const broken = read.filter(({ end, text }) => end !== 'done' || text !== whole).length;
  const half = pauses[Math.floor(pauses.length / 2)] ?? 0;
  const how =
    role === 'worker'
      ? 'went on at the other worker'
      : 'were read on from where they were, at the ingress that was started in its place';
  out(`   ${hit.length} of them ${how}.\n`);
  out(
    `   Their pause: ${milliseconds(half)} in the middle, ${milliseconds(pauses.at(-1) ?? 0)} at most.\n`,
  );
  out(
    `   ${streams - broken} of ${streams} answers are whole, word for word, with nothing repeated.\n`,
  );
  return { broken };
}

const ended = ({ end, attempts }: Reading): string =>
  `${end === 'done' ? 'The answer is complete' : `The answer ended as ${end}`}, from ${plural(attempts.length, 'attempt')}`;

/** Milliseconds of the longest pause in the text that ended after a moment; 0: none did. */
function longestPause({ textAt }: Reading, since = 0): number {
  const pauses = textAt.map((at, i) => (at > since ? at - (textAt[i - 1] ?? at) : 0));
  return Math.max(0, ...pauses);
}

/** The fleet, as soon as its control plane answers. */
async function fleetView(ingress: Ingress): Promise<FleetView> {
  let found: FleetView | undefined;
  await until(async () => {
    try {
      found = await ingress.getJson<FleetView>('/admin/fleet');
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    }
    const roles = found?.processes.filter(({ listening }) => listening).map(({ role }) => role);
    return (
      roles?.includes('ingress') === true &&
      roles.filter((role) => role === 'worker')[1] !== undefined
    );
  });
  if (!found) throw new CommandFailed('the control plane does not answer');
  return found;
}

/** The pid of a process of this role; the fleet runs on this machine. */
async function processOf(ingress: Ingress, wanted: 'worker' | 'ingress'): Promise<number> {
  const { processes } = await fleetView(ingress);
  const pid = processes.find(({ role, listening }) => role === wanted && listening)?.pid;
  if (pid === undefined) throw new CommandFailed(`the fleet has no ${wanted}`);
  return pid;
}

/** Throws CommandFailed if it does not come true. */
async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const lastAt = performance.now() + patienceMs;
  while (!(await isTrue())) {
    if (performance.now() > lastAt) throw new CommandFailed('the fleet did not get ready in time');
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
