import type { ConfigSource } from './config-source.ts';
import { Gauge } from './metrics.ts';
import type { Registry } from './metrics.ts';

/** How this process stands to its config file. Only the present hash has a series. */
export function showConfig(registry: Registry, source: Pick<ConfigSource, 'state'>): void {
  const registers = [registry];
  new Gauge({
    name: 'millrace_config_info',
    help: 'The config in use, by its hash; processes with the same config have the same hash',
    labelNames: ['hash'],
    registers,
    collect() {
      this.reset();
      this.set({ hash: source.state.hash }, 1);
    },
  });
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge(
    'millrace_config_last_reload_successful',
    '0 while the config file is refused, and the config before it is in use',
    () => (source.state.problems.length === 0 ? 1 : 0),
  );
  gauge(
    'millrace_config_last_reload_success_timestamp_seconds',
    'When the config in use was taken over',
    () => source.state.since / 1000,
  );
  gauge(
    'millrace_config_needs_restart',
    'Fields of the config file whose change takes effect with a restart only',
    () => source.state.needsRestart.length,
  );
}
