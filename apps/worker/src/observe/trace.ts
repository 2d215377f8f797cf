import { requestedModelOf } from '@millrace/shared/domain/request';
import type { Endpoint } from '@millrace/shared/domain/request';
import { tokenCounts } from '@millrace/shared/cost/usage';
import type { ProviderConfig } from '@millrace/shared/config';
import type { AttemptEnded, AttemptStarted } from '@millrace/shared/domain/entry';
import { plainCode } from '@millrace/shared/runtime/log-redaction';
import { topLevelMembers } from '@millrace/shared/domain/json-text';
import type { Activation } from '@millrace/shared/store/queue/port';
import type { Attributes, SpanRecord, Telemetry } from '@millrace/shared/telemetry/port';
import { readTraceparent, spanIdOf, traceparentOf } from '@millrace/shared/telemetry/trace-context';
import type { Parent } from '@millrace/shared/telemetry/trace-context';
import type { AttemptState, History } from '../continuation/history.ts';
import type { RunReport } from '../run/report.ts';

/*
 * The spans of a run, made from its report when it has ended: the wait in the queue, the run and its attempts, with the
 * GenAI conventions (semantic-conventions-genai v0.1.0). A run that takes a request over also makes those of the runs before
 * that made none, from the log. So each span is made once, and a request costs nothing for its trace before its end.
 */

/** The provider of a target; undefined if the config does not have it any more. */
export type ProviderOf = (name: string) => Pick<ProviderConfig, 'api' | 'baseUrl'> | undefined;

/** Sends the spans and metrics of runs. Never throws, so that no run fails because of its telemetry. */
export const traceRuns =
  (telemetry: Telemetry, providerOf: ProviderOf, onError: (error: unknown) => void) =>
  (report: RunReport): void => {
    try {
      for (const span of spansOf(report, providerOf)) telemetry.record(span);
      for (const attempt of owedAttempts(report)) {
        measureAttempt(telemetry, attempt, report, providerOf);
      }
    } catch (error) {
      onError(error);
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

/**
 * The last run before this one that handed the request over; 0: none. It has sent everything before its end. All other
 * runs before were killed, or left their spans to this one (`leavesSpans`).
 */
const lastReported = ({ run, history }: RunReport): number =>
  Math.max(
    0,
    ...(history?.ledger ?? []).flatMap(({ ended }) =>
      ended?.outcome === 'handed_over' && ended.run < run ? [ended.run] : [],
    ),
  );

/**
 * Whether the run that follows sends the spans and metrics of this one. Both decide by the log alone: a run that did not
 * end the request has sent them only if it ended an attempt as `handed_over`, or if there is none.
 */
function leavesSpans({ run, history, outcome: { kind } }: RunReport): boolean {
  if (kind !== 'handed_back') return kind === 'dropped' || kind === 'not_yet';
  const attempts = history?.ledger ?? [];
  const handsOver = attempts.some(
    ({ ended }) => ended?.run === run && ended.outcome === 'handed_over',
  );
  return attempts.length > 0 && !handsOver;
}

/** The attempts of which this run sends the spans and metrics: those that ended, and that no run before has sent. */
function owedAttempts(report: RunReport): Ended[] {
  if (leavesSpans(report)) return [];
  const reported = lastReported(report);
  return (report.history?.ledger ?? []).flatMap(({ started, ended }) =>
    ended && ended.run > reported ? [{ started, ended }] : [],
  );
}

/** The spans that this run has to send; none if its request is not traced, or had ended before. */
export function spansOf(report: RunReport, providerOf: ProviderOf): SpanRecord[] {
  const { activation, history } = report;
  const parent = readTraceparent(activation.data.trace?.parent);
  if (!parent || !history || leavesSpans(report)) return [];
  const attempts = owedAttempts(report);
  const before = new Set(
    attempts.map(({ started }) => started.run).filter((run) => run < report.run),
  );
  const trace = { traceId: parent.traceId, state: activation.data.trace?.state };
  return [
    ...queueSpans(report, parent),
    ...[...before].map((run) => earlierRunSpan(report, run, attempts)),
    runSpan(report),
    ...attempts.map((attempt) => attemptSpan(report, attempt, providerOf)),
  ].map((span) => ({ parentSpanId: parent.spanId, ...span, ...trace }));
}

type Made = Omit<SpanRecord, 'traceId'>;

/** The wait before the first run: from that run, or from the one that sends its spans. */
function queueSpans(report: RunReport, parent: Parent): Made[] {
  if (lastReported(report) > 0) return [];
  const { activation, run, startedAt, history } = report;
  const [earliest] = history?.ledger ?? [];
  const first = Math.min(run, earliest?.started.run ?? run);
  const endedAt = first === run ? startedAt : (earliest?.started.at ?? startedAt);
  const { priority } = activation.data.standing ?? {};
  return [
    {
      spanId: spanIdOf(activation.id, `queue ${first}`),
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
  const code = outcome.kind === 'failed' ? (plainCode(outcome.code) ?? 'error') : undefined;
  return {
    spanId: runSpanId(id, run),
    name: 'run',
    kind: 'internal',
    startedAt,
    endedAt,
    isError: code !== undefined,
    attributes: {
      'millrace.request.id': id,
      'millrace.run': run,
      'millrace.model': requestedModelOf(data),
      'millrace.outcome': outcome.kind,
      'millrace.rescues': history?.rescues,
      'millrace.max_gap_ms': history?.times.maxGapMs,
      'error.type': code,
    },
  };
}

/**
 * A run before, from its first attempt to the end of its last one. It was lost if it left one open; otherwise the log does
 * not say whether its worker died, or gave the request back between two attempts.
 */
function earlierRunSpan({ activation }: RunReport, run: number, attempts: readonly Ended[]): Made {
  const own = attempts.filter(({ started }) => started.run === run);
  const isLost = own.some(({ ended }) => ended.outcome === 'worker_lost');
  return {
    spanId: runSpanId(activation.id, run),
    name: 'run',
    kind: 'internal',
    startedAt: Math.min(...own.map(({ started }) => started.at)),
    endedAt: Math.max(...own.map(({ ended }) => ended.at)),
    isError: isLost,
    attributes: {
      'millrace.request.id': activation.id,
      'millrace.run': run,
      'millrace.model': requestedModelOf(activation.data),
      'millrace.outcome': isLost ? 'lost' : undefined,
      'error.type': isLost ? 'worker_lost' : undefined,
    },
  };
}

/** Ends that are no error of the provider. */
const harmless: ReadonlySet<string> = new Set([
  'completed',
  'superseded',
  'handed_over',
  'moved',
  'cancelled',
  'aborted',
]);

const errorType = ({ outcome }: AttemptEnded): string | undefined =>
  harmless.has(outcome) ? undefined : outcome;

function attemptSpan(report: RunReport, attempt: Ended, providerOf: ProviderOf): Made {
  const { id } = report.activation;
  const { started, ended } = attempt;
  return {
    spanId: attemptSpanId(id, started.attempt),
    parentSpanId: runSpanId(id, started.run),
    name: `${operationOf(report.activation.data.endpoint)} ${started.model}`,
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
    ...seamOf(id, attempt, report.history?.attempts ?? []),
  };
}

/**
 * The seam of an attempt that goes on where others ended, or begins anew: a link to the last attempt before of which readers
 * have got text, and an event once they have text of this one.
 */
function seamOf(
  id: string,
  { started, ended }: Ended,
  attempts: readonly AttemptState[],
): Pick<Made, 'events' | 'links'> {
  const { mode, attempt } = started;
  const before = attempts.findLast((one) => one.attempt < attempt && one.wasDelivered);
  if (mode === 'start' || !before) return {};
  const state = attempts.find((one) => one.attempt === attempt);
  const attributes = { 'millrace.seam.strategy': mode, 'millrace.seam.offset': state?.offset };
  const links = [{ spanId: attemptSpanId(id, before.attempt), attributes }];
  if (state?.wasDelivered !== true) return { links };
  return {
    links,
    events: [{ name: 'millrace.seam', at: ended.firstTokenAt ?? ended.at, attributes }],
  };
}

/** By the semantic conventions of OpenTelemetry, which have none for reranking, moderation and compaction. */
const operations: Readonly<Partial<Record<Endpoint, string>>> = {
  '/v1/completions': 'text_completion',
  '/v1/embeddings': 'embeddings',
  '/v1beta/models:embedContent': 'embeddings',
  '/v1/moderations': 'moderation',
  '/v1/responses/compact': 'compaction',
  '/v1/rerank': 'rerank',
  '/v1/images/generations': 'image_generation',
  '/v1/images/edits': 'image_edit',
  '/v1/images/variations': 'image_variation',
  '/v1/audio/speech': 'speech',
  '/v1/audio/transcriptions': 'transcription',
  '/v1/audio/translations': 'translation',
};

const operationOf = (endpoint: Endpoint): string => operations[endpoint] ?? 'chat';

/** What spans and metrics of a call have in common. */
function callAttributes(
  { activation }: RunReport,
  { started, ended }: Ended,
  providerOf: ProviderOf,
): Attributes {
  const provider = providerOf(started.provider);
  const address = provider && addressOf(provider.baseUrl);
  return {
    'gen_ai.operation.name': operationOf(activation.data.endpoint),
    'gen_ai.provider.name':
      provider?.api === 'openai-responses' ? 'openai' : (provider?.api ?? started.provider),
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
