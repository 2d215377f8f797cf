import { priorities } from '@millrace/shared/domain/request';
import { Counter, Gauge } from '@millrace/shared/runtime/metrics';
import type { Registry } from '@millrace/shared/runtime/metrics';
import { jobsAhead, waitMs } from '../admission/expected-wait.ts';
import type { Load } from '../admission/expected-wait.ts';

/** A key without waiting requests, for the wait that a new client has to expect. */
const newcomer = { key: '\0', weight: 1 };

/** The metrics of admission and of the queue. */
export function admissionMetrics(registers: Registry[], load: () => Load | undefined) {
  new Gauge({
    name: 'millrace_queue_waiting',
    help: 'Waiting requests by class; front: ahead of all classes, as after a takeover',
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
    help: 'Bytes of the bodies of waiting requests',
    registers,
    collect() {
      this.set(load()?.bytes ?? 0);
    },
  });
  new Gauge({
    name: 'millrace_queue_expected_wait_seconds',
    help: 'Expected wait of a new request of a key without waiting requests; absent while unknown',
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
    help: 'Requests of the whole fleet that start per second while others wait; 0 while unknown',
    registers,
    collect() {
      this.set(load()?.rate ?? 0);
    },
  });
  return {
    admitted: new Counter({
      name: 'millrace_requests_admitted_total',
      help: 'Requests admitted to the queue',
      registers,
    }),
    shed: new Counter({
      name: 'millrace_requests_shed_total',
      help: 'Requests refused because of load, by reason',
      labelNames: ['reason'],
      registers,
    }),
  };
}
