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
    config.telemetry ?? (namesCollector(env) ? { sample: 1, propagate: false } : undefined);
  if (!settings || env['OTEL_SDK_DISABLED'] === 'true') return undefined;
  const { createOtlpTelemetry } = await import('./otlp.ts');
  const intervalMs = Number(env['OTEL_METRIC_EXPORT_INTERVAL']) || undefined;
  return createOtlpTelemetry({ ...rest, ...settings, metricIntervalMs: intervalMs });
}

const namesCollector = (env: TelemetryOptions['env']): boolean =>
  Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);
