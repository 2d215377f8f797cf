import type { Config } from '../config.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Telemetry } from './port.ts';

export type TelemetryOptions = {
  config: Pick<Config, 'telemetry'>;
  env: Readonly<Record<string, string | undefined>>;
  role: 'ingress' | 'worker';
  /** The name of the process. */
  name: string;
  logger: Pick<Logger, 'info' | 'warn'>;
};

/**
 * Starts telemetry if the config has `telemetry`, or if the environment names a collector as OpenTelemetry has it. Its packages
 * are loaded only then: they take 25 MB.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry | undefined> {
  const { config, env, ...rest } = options;
  const settings =
    config.telemetry ??
    (namesCollector(env) ? { sample: 1, propagate: false, trustClients: true } : undefined);
  if (!settings || env['OTEL_SDK_DISABLED'] === 'true') return undefined;
  const { createOtlpTelemetry } = await import('./otlp.ts');
  return createOtlpTelemetry({
    ...rest,
    ...settings,
    metricIntervalMs: metricIntervalOf(env),
    sendsMetrics: sendsMetrics(env, config.telemetry?.otlp),
  });
}

const namesCollector = (env: TelemetryOptions['env']): boolean =>
  Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);

/** The longest interval that a timer takes, in milliseconds. */
const maxIntervalMs = 2 ** 31 - 1;

/** Undefined: none, or one that is not valid. */
function metricIntervalOf(env: TelemetryOptions['env']): number | undefined {
  const ms = Number(env['OTEL_METRIC_EXPORT_INTERVAL']);
  return Number.isInteger(ms) && ms > 0 && ms <= maxIntervalMs ? ms : undefined;
}

/** Not if only an endpoint for traces is named: a backend for traces need not take metrics. */
function sendsMetrics(env: TelemetryOptions['env'], otlp: string | undefined): boolean {
  if (env['OTEL_METRICS_EXPORTER'] === 'none') return false;
  if (otlp !== undefined || !env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']) return true;
  return Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT']);
}
