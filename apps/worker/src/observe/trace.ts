import { tokenCounts } from '@millrace/shared/cost/usage';
import type { ProviderConfig } from '@millrace/shared/config';
import type { AttemptEnded, AttemptStarted } from '@millrace/shared/domain/entry';
import { topLevelMembers } from '@millrace/shared/domain/json-text';
import type { Activation } from '@millrace/shared/store/queue/port';
import type { Attributes, SpanRecord, Telemetry } from '@millrace/shared/telemetry/port';
import { readTraceparent, spanIdOf, traceparentOf } from '@millrace/shared/telemetry/trace-context';
import type { Parent } from '@millrace/shared/telemetry/trace-context';
import type { AttemptState, History } from '../continuation/history.ts';
import { endedAttempts } from '../run/report.ts';
import type { RunReport } from '../run/report.ts';

/*
 * The spans of a run, made from its report when it has ended: the wait in the queue, the run and its attempts, with the
 * GenAI conventions (semantic-conventions-genai v0.1.0). A run that takes a request over also makes those of the worker that
 * died, from the log. So each span is made once, and a request costs nothing for its trace before its end.
 */

/** The provider of a target; undefined if the config does not have it any more. */
export type ProviderOf = (name: string) => Pick<ProviderConfig, 'api' | 'baseUrl'> | undefined;

/** Sends the spans and metrics of runs. */
export const traceRuns =
  (telemetry: Telemetry, providerOf: ProviderOf) =>
  (report: RunReport): void => {
    for (const span of spansOf(report, providerOf)) telemetry.record(span);
    for (const attempt of endedAttempts(report)) {
      measureAttempt(telemetry, attempt, report, providerOf);
    }
  };

/** The trace headers of a call: the client's own, or with `propagates` those of the attempt, if its request is traced. */
export function traceHeaders(
  { id, data: { trace, traceparent } }: Pick<Activation, 'id' | 'data'>,
  attempt: number,
  propagates: boolean,
): { traceparent: string | undefined; tracestate?: string | undefined } {
  const parent = propagates ? readTraceparent(trace?.parent) : undefined;
  if (!parent) return { traceparent };
  const spanId = attemptSpanId(id, attempt);
  return {
    traceparent: traceparentOf({ traceId: parent.traceId, spanId }),
    tracestate: trace?.state,
  };
}

type Ended = { started: AttemptStarted; ended: AttemptEnded };

const attemptSpanId = (id: string, attempt: number) => spanIdOf(id, `attempt ${attempt}`);
const runSpanId = (id: string, run: number) => spanIdOf(id, `run ${run}`);

/** The spans that this run has to send; none if its request is not traced. */
export function spansOf(report: RunReport, providerOf: ProviderOf): SpanRecord[] {
  const { activation, outcome } = report;
  const parent = readTraceparent(activation.data.trace?.parent);
  // Another run has the request, or will have it under the same number.
  if (!parent || outcome.kind === 'dropped' || outcome.kind === 'not_yet') return [];
  const attempts = endedAttempts(report);
  const lost = new Set(
    attempts.map(({ started }) => started.run).filter((run) => run < report.run),
  );
  const trace = { traceId: parent.traceId, state: activation.data.trace?.state };
  return [
    ...queueSpans(report, lost, parent),
    ...[...lost].map((run) => lostRunSpan(report, run, attempts)),
    runSpan(report),
    ...attempts.map((attempt) => attemptSpan(report, attempt, providerOf)),
  ].map((span) => ({ parentSpanId: parent.spanId, ...span, ...trace }));
}

type Made = Omit<SpanRecord, 'traceId'>;

/** The wait before the first run: from that run, or from the one that follows it if it was lost. */
function queueSpans(report: RunReport, lost: ReadonlySet<number>, parent: Parent): Made[] {
  const { activation, run, startedAt, history } = report;
  const known = history?.ledger ?? [];
  const first = Math.min(run, ...known.map(({ started }) => started.run));
  if (first !== run && !lost.has(first)) return [];
  const endedAt = first === run ? startedAt : (known[0]?.started.at ?? startedAt);
  const { priority } = activation.data.standing ?? {};
  return [
    {
      spanId: spanIdOf(activation.id, `queue ${run}`),
      parentSpanId: parent.spanId,
      name: 'queue wait',
      kind: 'internal',
      startedAt: activation.data.createdAt,
      endedAt,
      attributes: { 'millrace.request.id': activation.id, 'millrace.queue.class': priority },
    },
  ];
}

function runSpan({ activation, run, startedAt, endedAt, outcome, history }: RunReport): Made {
  const { id, data } = activation;
  const isFailed = outcome.kind === 'failed';
  return {
    spanId: runSpanId(id, run),
    name: 'run',
    kind: 'internal',
    startedAt,
    endedAt,
    isError: isFailed,
    attributes: {
      'millrace.request.id': id,
      'millrace.run': run,
      'millrace.model': data.model,
      'millrace.outcome': outcome.kind,
      'millrace.rescues': history?.rescues,
      'millrace.max_gap_ms': history?.times?.maxGapMs,
      // The reason begins with the error's code.
      'error.type': isFailed ? outcome.reason.split(':')[0] : undefined,
    },
  };
}

/** The run of a worker that died: from its first attempt until another worker took the request over. */
function lostRunSpan({ activation }: RunReport, run: number, attempts: readonly Ended[]): Made {
  const own = attempts.filter(({ started }) => started.run === run);
  return {
    spanId: runSpanId(activation.id, run),
    name: 'run',
    kind: 'internal',
    startedAt: Math.min(...own.map(({ started }) => started.at)),
    endedAt: Math.max(...own.map(({ ended }) => ended.at)),
    isError: true,
    attributes: {
      'millrace.request.id': activation.id,
      'millrace.run': run,
      'millrace.model': activation.data.model,
      'millrace.outcome': 'lost',
      'error.type': 'worker_lost',
    },
  };
}

/** Ends that are no error of the provider. */
const harmless: ReadonlySet<string> = new Set([
  'completed',
  'superseded',
  'handed_over',
  'cancelled',
  'aborted',
]);

const errorType = ({ outcome }: AttemptEnded): string | undefined =>
  harmless.has(outcome) ? undefined : outcome;

function attemptSpan(report: RunReport, attempt: Ended, providerOf: ProviderOf): Made {
  const { id } = report.activation;
  const { started, ended } = attempt;
  const state = report.history?.attempts.find((one) => one.attempt === started.attempt);
  return {
    spanId: attemptSpanId(id, started.attempt),
    parentSpanId: runSpanId(id, started.run),
    name: `chat ${started.model}`,
    kind: 'client',
    startedAt: started.at,
    endedAt: ended.at,
    isError: errorType(ended) !== undefined,
    attributes: {
      ...callAttributes(report, attempt, providerOf),
      ...answerAttributes(report, attempt),
      'millrace.request.id': id,
      'millrace.attempt': started.attempt,
      'millrace.attempt.mode': started.mode,
      'millrace.attempt.outcome': ended.outcome,
      'millrace.provider': started.provider,
      'millrace.usage.estimated': ended.estimated,
    },
    ...seamOf(id, attempt, state),
  };
}

/**
 * The seam of an attempt that goes on where others ended, or begins anew: a link to the attempt before, and an event once
 * readers have text of it.
 */
function seamOf(
  id: string,
  { started, ended }: Ended,
  state: AttemptState | undefined,
): Pick<Made, 'events' | 'links'> {
  const { mode, attempt } = started;
  if (mode === 'start' || attempt === 1) return {};
  const attributes = { 'millrace.seam.strategy': mode, 'millrace.seam.offset': state?.offset };
  const links = [{ spanId: attemptSpanId(id, attempt - 1), attributes }];
  if (state?.wasDelivered !== true) return { links };
  return {
    links,
    events: [{ name: 'millrace.seam', at: ended.firstTokenAt ?? ended.at, attributes }],
  };
}

/** What spans and metrics of a call have in common. */
function callAttributes(
  { activation }: RunReport,
  { started, ended }: Ended,
  providerOf: ProviderOf,
): Attributes {
  const provider = providerOf(started.provider);
  const address = provider && addressOf(provider.baseUrl);
  return {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': provider?.api ?? started.provider,
    'gen_ai.request.model': started.model,
    'gen_ai.request.stream': activation.data.stream,
    'server.address': address?.host,
    'server.port': address?.port,
    'error.type': errorType(ended),
  };
}

function addressOf(baseUrl: string): { host: string; port: number } | undefined {
  if (!URL.canParse(baseUrl)) return undefined;
  const { hostname, port, protocol } = new URL(baseUrl);
  return { host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
}

function answerAttributes(report: RunReport, { started, ended }: Ended): Attributes {
  const tokens = tokenCounts(ended.usage);
  const isUsed = ended.usage !== undefined;
  return {
    'gen_ai.response.finish_reasons': finishReasons(report, ended),
    ...responseIdentity(report.history, started.attempt),
    'gen_ai.response.time_to_first_chunk': firstChunkSeconds(report, { started, ended }),
    'gen_ai.usage.input_tokens': isUsed ? tokens.input : undefined,
    'gen_ai.usage.output_tokens': isUsed ? tokens.output : undefined,
    'gen_ai.usage.cache_read.input_tokens': tokens.cached > 0 ? tokens.cached : undefined,
    'gen_ai.usage.reasoning.output_tokens': tokens.reasoning > 0 ? tokens.reasoning : undefined,
  };
}

/** Only of streams. */
const firstChunkSeconds = (
  { activation }: RunReport,
  { started, ended: { firstTokenAt } }: Ended,
): number | undefined =>
  firstTokenAt === undefined || !activation.data.stream
    ? undefined
    : Math.max(0, firstTokenAt - started.at) / 1000;

/** `error`: the answer had begun, and ended without one. */
function finishReasons({ outcome, history }: RunReport, ended: AttemptEnded): string[] | undefined {
  if (ended.outcome === 'completed') {
    const reasons = [...(history?.delivered.finished.values() ?? [])].flatMap((one) => one ?? []);
    if (reasons.length > 0) return reasons;
    return outcome.kind === 'completed' ? [outcome.summary] : undefined;
  }
  return ended.firstTokenAt !== undefined && errorType(ended) !== undefined ? ['error'] : undefined;
}

/** The id and the model that readers have seen are those of the attempt that began the answer. */
function responseIdentity(history: History | undefined, attempt: number): Attributes {
  const beginning = history?.attempts
    .slice(
      Math.max(
        0,
        history.attempts.findLastIndex(({ mode }) => mode === 'restart'),
      ),
    )
    .find(({ wasDelivered, outcome }) => wasDelivered || outcome === 'completed');
  if (!history || beginning?.attempt !== attempt) return {};
  const { id, model } = history.result
    ? identityIn(history.result.body)
    : (history.delivered.identity ?? {});
  return { 'gen_ai.response.id': textOf(id), 'gen_ai.response.model': textOf(model) };
}

function identityIn(body: string): { id?: unknown; model?: unknown } {
  const members = topLevelMembers(body);
  const read = (name: string): unknown => {
    const span = members.get(name);
    return span && JSON.parse(body.slice(span.start, span.end));
  };
  return { id: read('id'), model: read('model') };
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined;

function measureAttempt(
  telemetry: Telemetry,
  attempt: Ended,
  report: RunReport,
  providerOf: ProviderOf,
): void {
  const { started, ended } = attempt;
  const { input, output, cached, reasoning } = tokenCounts(ended.usage);
  const firstChunk = firstChunkSeconds(report, attempt);
  const prefix = 'gen_ai.client.inference' as const;
  telemetry.measure(
    {
      [`${prefix}.duration`]: Math.max(0, ended.at - started.at) / 1000,
      ...(firstChunk !== undefined && { [`${prefix}.time_to_first_chunk`]: firstChunk }),
      ...(input > 0 && { [`${prefix}.usage.input_tokens`]: input }),
      ...(output > 0 && { [`${prefix}.usage.output_tokens`]: output }),
      ...(cached > 0 && { [`${prefix}.usage.cache_read.input_tokens`]: cached }),
      ...(reasoning > 0 && { [`${prefix}.usage.reasoning.output_tokens`]: reasoning }),
    },
    callAttributes(report, attempt, providerOf),
  );
}
