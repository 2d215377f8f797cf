import { priorities } from '@millrace/shared/domain/request';
import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import { jobsAhead, waitMs } from '../admission/expected-wait.ts';
import type { Load } from '../admission/expected-wait.ts';

/** A key that has nothing waiting: the wait that a new client has to expect. */
const newcomer = { key: '\0', weight: 1 };

/** The metrics of admission and of the queue. */
export function admissionMetrics(registers: Registry[], load: () => Load | undefined) {
  new Gauge({
    name: 'millrace_queue_waiting',
    help: 'Requests that wait, by class; front: those that go before all classes, as after a takeover',
    labelNames: ['class'],
    registers,
    collect() {
      const now = load();
      if (!now) return;
      for (const priority of priorities) {
        this.set({ class: priority }, now.classes[priority].waiting);
      }
      this.set({ class: 'front' }, now.front);
    },
  });
  new Gauge({
    name: 'millrace_queue_bytes',
    help: 'Bodies of the requests that wait',
    registers,
    collect() {
      this.set(load()?.bytes ?? 0);
    },
  });
  new Gauge({
    name: 'millrace_queue_expected_wait_seconds',
    help: 'What a new request of a key that has none waiting has to expect; absent while not known',
    labelNames: ['class'],
    registers,
    collect() {
      this.reset();
      const now = load();
      if (!now) return;
      for (const priority of priorities) {
        const ms = waitMs(now, jobsAhead(now, { priority, ...newcomer }));
        if (ms !== undefined) this.set({ class: priority }, ms / 1000);
      }
    },
  });
  new Gauge({
    name: 'millrace_service_rate',
    help: 'Requests of the whole fleet that start per second while others wait; 0 while not known',
    registers,
    collect() {
      this.set(load()?.rate ?? 0);
    },
  });
  return {
    admitted: new Counter({
      name: 'millrace_requests_admitted_total',
      help: 'Requests that were let into the queue',
      registers,
    }),
    shed: new Counter({
      name: 'millrace_requests_shed_total',
      help: 'Requests that were refused because of the load, by reason',
      labelNames: ['reason'],
      registers,
    }),
  };
}
