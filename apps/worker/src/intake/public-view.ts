import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import type { IntakeSnapshot } from './intake.ts';

/* The intake of a worker, as operators see it. */

/** For /admin/upstreams, with public field names; models keep the names of the config. */
export const publicIntake = ({ loopDelayMs, putBack, models, ...rest }: IntakeSnapshot) => ({
  ...rest,
  models: Object.fromEntries(
    Object.entries(models).map(([model, { skipped, ...queue }]) => [
      model,
      { ...queue, avoided: skipped },
    ]),
  ),
  loop_delay_ms: loopDelayMs,
  put_back: putBack,
});

/** Read when metrics are collected. */
export function countIntake(registry: Registry, snapshot: () => IntakeSnapshot): void {
  const registers = [registry];
  new Gauge({
    name: 'millrace_worker_places',
    help: 'Current limit of concurrent runs of this worker, set by its event loop delay; runs that wait for a target do not count',
    registers,
    collect() {
      this.set(snapshot().places);
    },
  });
  new Gauge({
    name: 'millrace_worker_loop_delay_seconds',
    help: 'Mean event loop delay at the last look',
    registers,
    collect() {
      this.set(snapshot().loopDelayMs / 1000);
    },
  });
  new Gauge({
    name: 'millrace_worker_models_avoided',
    help: '1 for a model whose requests this worker does not take now, because its targets lack capacity',
    labelNames: ['model'],
    registers,
    collect() {
      this.reset();
      for (const [model, { skipped }] of Object.entries(snapshot().models)) {
        if (skipped) this.set({ model }, 1);
      }
    },
  });
  new Counter({
    name: 'millrace_worker_put_back_total',
    help: 'Requests returned to the queue because no target had capacity for them',
    labelNames: ['model'],
    registers,
    collect() {
      this.reset();
      for (const [model, count] of Object.entries(snapshot().putBack)) this.inc({ model }, count);
    },
  });
}
