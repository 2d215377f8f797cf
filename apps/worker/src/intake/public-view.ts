import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import type { IntakeSnapshot } from './intake.ts';

/* How much a worker takes, as operators are shown it. */

/** For /admin/upstreams, in the public form; what operators named keeps its name. */
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
    help: 'Runs that this worker has under way at most now, by how late its event loop is; those that wait for a target not counted',
    registers,
    collect() {
      this.set(snapshot().places);
    },
  });
  new Gauge({
    name: 'millrace_worker_loop_delay_seconds',
    help: 'How late the event loop was on average, at the last look',
    registers,
    collect() {
      this.set(snapshot().loopDelayMs / 1000);
    },
  });
  new Gauge({
    name: 'millrace_worker_models_avoided',
    help: 'Models of which this worker takes no requests now, because they could only wait for room: 1',
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
    help: 'Requests that went back to the queue because they could only have waited here for room',
    labelNames: ['model'],
    registers,
    collect() {
      this.reset();
      for (const [model, count] of Object.entries(snapshot().putBack)) this.inc({ model }, count);
    },
  });
}
