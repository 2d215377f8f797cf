/* Traces and metrics of requests, as OpenTelemetry has them. otlp.ts sends them; nothing else knows its packages. */

export type AttributeValue = string | number | boolean | string[];
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

/** A span that has ended. Times are milliseconds since the epoch. */
export type SpanRecord = {
  traceId: string;
  spanId: string;
  parentSpanId?: string | undefined;
  /** The `tracestate` of the trace. */
  state?: string | undefined;
  name: string;
  kind: 'server' | 'client' | 'internal';
  startedAt: number;
  endedAt: number;
  attributes: Attributes;
  /** The span's operation failed. */
  isError?: boolean;
  events?: readonly { name: string; at: number; attributes: Attributes }[];
  /** `traceId`: of a span of another trace. */
  links?: readonly { traceId?: string; spanId: string; attributes: Attributes }[];
};

/** The metrics of the GenAI conventions that a worker measures. */
export type MetricName =
  | 'gen_ai.client.inference.duration'
  | 'gen_ai.client.inference.time_to_first_chunk'
  | 'gen_ai.client.inference.usage.input_tokens'
  | 'gen_ai.client.inference.usage.output_tokens'
  | 'gen_ai.client.inference.usage.cache_read.input_tokens'
  | 'gen_ai.client.inference.usage.reasoning.output_tokens';

export type Telemetry = {
  /** The share of requests, 0 to 1, that are traced without a decision of their client. */
  readonly sample: number;
  /** Providers get the trace context of their attempt. */
  readonly propagate: boolean;
  /** A client's `traceparent` is continued, and decides whether its request is traced. */
  readonly trustClients: boolean;
  /** Queues a span. If too many wait for the collector, it is dropped. Never throws. */
  record(span: SpanRecord): void;
  /** Adds values with the same attributes: seconds to histograms, tokens to counters. */
  measure(values: Readonly<Partial<Record<MetricName, number>>>, attributes: Attributes): void;
  /** Sends what is queued, for at most `withinMs`. Never rejects. */
  close(withinMs: number): Promise<void>;
};
