import { setTimeout as sleep } from 'node:timers/promises';
import {
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { Context } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  RandomIdGenerator,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { version } from '../runtime/version.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Attributes, AttributeValue, MetricName, SpanRecord, Telemetry } from './port.ts';

/*
 * Telemetry by OpenTelemetry's own packages, as OTLP over HTTP with JSON. They are loaded by start.ts, and only if telemetry is
 * configured. Spans come when they have ended, with ids of their own.
 */

export type OtlpOptions = {
  /** The collector's base URL. Undefined: OTEL_EXPORTER_OTLP_ENDPOINT, or OpenTelemetry's default. */
  otlp?: string | undefined;
  sample: number;
  propagate: boolean;
  trustClients: boolean;
  role: string;
  name: string;
  sendsMetrics: boolean;
  /** @defaultValue 60 seconds */
  metricIntervalMs?: number | undefined;
  logger: Pick<Logger, 'info' | 'warn'>;
};

/**
 * Spans that wait for the collector; further ones are dropped. At about 1 KB each they take 8 MB, and 48 MB if clients and
 * providers send the longest texts.
 */
export const maxQueuedSpans = 8192;
/** Characters of one attribute: clients choose models, and providers the ids of answers. */
const maxAttributeChars = 256;
/** Texts of one attribute, as the finish reasons of an answer with several choices. */
const maxAttributeTexts = 8;
/**
 * Spans in one request to the collector. Turning them into JSON blocks the event loop for 2 ms, and the end of a process sends
 * all batches at once, of which the exporter takes 30.
 */
const maxBatch = 512;
/** Milliseconds between two requests while fewer than a batch wait. */
const batchEveryMs = 1000;
/** Milliseconds that the collector may take for one of them. */
const exportTimeoutMs = 10_000;
const metricEveryMs = 60_000;

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

export function createOtlpTelemetry(options: OtlpOptions): Telemetry {
  const { sample, propagate, trustClients, otlp, logger } = options;
  const resource = resourceOf(options);
  const at = (path: string) => ({
    ...(otlp !== undefined && { url: `${otlp.replace(/\/+$/, '')}${path}` }),
    timeoutMillis: exportTimeoutMs,
  });
  const ids = plannedIds();
  const traces = new TracerProvider({
    resource,
    sampler: new AlwaysOnSampler(),
    idGenerator: ids.generator,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: watched(new OTLPTraceExporter(at('/v1/traces')), noteOutages(logger, 'traces')),
        maxQueueSize: maxQueuedSpans,
        maxExportBatchSize: maxBatch,
        scheduledDelayMillis: batchEveryMs,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  const { metricIntervalMs = metricEveryMs } = options;
  const reader = () =>
    new PeriodicExportingMetricReader({
      exporter: watched(new OTLPMetricExporter(at('/v1/metrics')), noteOutages(logger, 'metrics')),
      exportIntervalMillis: metricIntervalMs,
      exportTimeoutMillis: Math.min(metricIntervalMs, exportTimeoutMs),
    });
  const metrics = new MeterProvider({ resource, readers: options.sendsMetrics ? [reader()] : [] });
  const tracer = traces.getTracer('millrace', version);
  const instruments = createInstruments(metrics);

  return {
    sample,
    propagate,
    trustClients,

    record(span) {
      ids.plan(span);
      const recorded = tracer.startSpan(
        cut(span.name),
        {
          kind: kinds[span.kind],
          startTime: span.startedAt,
          attributes: known(span.attributes),
          links: (span.links ?? []).map(({ attributes, ...linked }) => ({
            context: contextOf({ ...span, ...linked }),
            attributes: known(attributes),
          })),
        },
        parentOf(span),
      );
      for (const { name, at: time, attributes } of span.events ?? []) {
        recorded.addEvent(name, known(attributes), time);
      }
      if (span.isError) recorded.setStatus({ code: SpanStatusCode.ERROR });
      recorded.end(Math.max(span.startedAt, span.endedAt));
    },

    measure(values, attributes) {
      const labels = known(attributes);
      for (const [name, value] of Object.entries(values)) {
        instruments.get(name as MetricName)?.(value, labels);
      }
    },

    async close(withinMs) {
      const sent = Promise.allSettled([traces.shutdown(), metrics.shutdown()]);
      await Promise.race([sent, sleep(withinMs, undefined, { ref: false })]);
    },
  };
}

/** `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come before our own. */
function resourceOf({ role, name }: OtlpOptions) {
  return resourceFromAttributes({
    'service.name': 'millrace',
    'service.version': version,
    'service.instance.id': name,
    'millrace.role': role,
  }).merge(detectResources({ detectors: [envDetector] }));
}

/** The SDK asks a generator for the ids of a span, in `startSpan`: it gets those that the span has already. */
function plannedIds() {
  const random = new RandomIdGenerator();
  let planned: Pick<SpanRecord, 'traceId' | 'spanId'> | undefined;
  return {
    plan: (span: SpanRecord) => void (planned = span),
    generator: {
      generateTraceId: () => planned?.traceId ?? random.generateTraceId(),
      generateSpanId: () => planned?.spanId ?? random.generateSpanId(),
    },
  };
}

const contextOf = ({
  traceId,
  spanId,
  state,
}: Pick<SpanRecord, 'traceId' | 'spanId' | 'state'>) => ({
  traceId,
  spanId,
  traceFlags: 1,
  isRemote: true,
  ...(state !== undefined && { traceState: createTraceState(state) }),
});

function parentOf({ parentSpanId, ...span }: SpanRecord): Context {
  if (parentSpanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, contextOf({ ...span, spanId: parentSpanId }));
}

function known(attributes: Attributes): Record<string, AttributeValue> {
  const all: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) all[name] = bounded(value);
  }
  return all;
}

function bounded(value: AttributeValue): AttributeValue {
  if (Array.isArray(value)) return value.slice(0, maxAttributeTexts).map(cut);
  return typeof value === 'string' ? cut(value) : value;
}

/** A copy: a part of a string would keep the whole one in memory. */
const cut = (text: string): string =>
  text.length <= maxAttributeChars
    ? text
    : Buffer.from(text.slice(0, maxAttributeChars)).toString();

type Exported = { code: number; error?: Error };
type Exporter<T> = { export(data: T, done: (result: Exported) => void): void };

/** An exporter whose results are noted. Changes it. */
function watched<T, E extends Exporter<T>>(exporter: E, note: (result: Exported) => void): E {
  const send = exporter.export.bind(exporter);
  exporter.export = (data, done) =>
    send(data, (result) => {
      note(result);
      done(result);
    });
  return exporter;
}

const succeeded = 0;

/** Logs the first failure of an outage of the collector, and its end. It may take one signal and not the other. */
function noteOutages(logger: OtlpOptions['logger'], signal: 'traces' | 'metrics') {
  let failures = 0;
  return ({ code, error }: Exported): void => {
    if (code === succeeded) {
      if (failures > 0)
        logger.info({ failures }, `the OpenTelemetry collector takes ${signal} again`);
      failures = 0;
      return;
    }
    failures += 1;
    if (failures > 1) return;
    logger.warn({ reason: error?.message }, `the OpenTelemetry collector does not take ${signal}`);
  };
}

/** Bounds of buckets in seconds, as the GenAI conventions recommend them. */
const seconds = Array.from({ length: 14 }, (_, power) => 0.01 * 2 ** power);

const descriptions: Readonly<Record<MetricName, string>> = {
  'gen_ai.client.inference.duration': 'Duration of a call of a provider',
  'gen_ai.client.inference.time_to_first_chunk':
    'Time from a streaming call to its first visible chunk',
  'gen_ai.client.inference.usage.input_tokens': 'Input tokens',
  'gen_ai.client.inference.usage.output_tokens': 'Output tokens',
  'gen_ai.client.inference.usage.cache_read.input_tokens':
    'Input tokens that the provider had cached; a part of the input tokens',
  'gen_ai.client.inference.usage.reasoning.output_tokens':
    'Output tokens that were reasoning; a part of the output tokens',
};

type Measure = (value: number, attributes: Record<string, AttributeValue>) => void;

function createInstruments(provider: MeterProvider): ReadonlyMap<MetricName, Measure> {
  const meter = provider.getMeter('millrace', version);
  const entries = Object.entries(descriptions) as [MetricName, string][];
  return new Map(
    entries.map(([name, description]): [MetricName, Measure] => {
      if (name.endsWith('_tokens')) {
        const counter = meter.createCounter(name, { description, unit: '{token}' });
        return [name, (value, attributes) => counter.add(value, attributes)];
      }
      const advice = { explicitBucketBoundaries: seconds };
      const histogram = meter.createHistogram(name, { description, unit: 's', advice });
      return [name, (value, attributes) => histogram.record(value, attributes)];
    }),
  );
}
