import { countOf, excerpt, namesOf, pages } from './condition.ts';
import type { Condition } from './condition.ts';
import type { FleetState } from './fleet-state.ts';

/* Conditions of the processes: who is there, which version and which config they run. */

export function processConditions({ processes }: FleetState): Condition[] {
  const ingresses = processes.filter(({ role }) => role === 'ingress');
  const found = workerConditions(processes);
  if (ingresses.length === 0) {
    found.push({
      ...ofFleet('no_ingress', 'critical'),
      title: 'No ingress',
      detail: 'No ingress has announced itself, so clients cannot reach the fleet.',
    });
  }
  const versions = Map.groupBy(processes, ({ version }) => version);
  if (versions.size > 1) {
    const each = [...versions].map(([version, own]) => `${version} (${own.length})`).sort();
    found.push({
      ...ofFleet('versions_differ', 'warning'),
      title: 'Processes run different versions',
      detail: `The processes of the fleet run the versions ${namesOf(each)}; after a deploy this should end by itself.`,
    });
  }
  return found;
}

function workerConditions(processes: FleetState['processes']): Condition[] {
  const workers = processes.filter(({ role, stage }) => role === 'worker' && stage !== 'stopping');
  if (workers.length === 0) {
    return [
      {
        ...ofFleet('no_worker', 'critical'),
        title: 'No worker',
        detail: 'No worker is there: requests wait in the queue until one starts.',
      },
    ];
  }
  const silent = workers.filter(({ isListening }) => !isListening);
  if (silent.length === workers.length) {
    return [
      {
        ...ofFleet('workers_silent', 'critical'),
        title: 'No worker listens',
        detail: `${countOf(workers.length, 'worker')} announced themselves lately, but none is connected to Redis now.`,
      },
    ];
  }
  const found: Condition[] = silent.map(({ name, host }) => ({
    ...ofFleet('worker_silent', 'warning'),
    subject: name,
    title: `Worker ${name} does not listen`,
    detail: `${name} on ${host} is not connected to Redis: it was killed, or its connection is interrupted.`,
  }));
  if (workers.every(({ stage }) => stage === 'draining')) {
    found.push({
      ...ofFleet('workers_drained', 'critical'),
      title: 'All workers are drained',
      detail: `An operator has drained all workers (${countOf(workers.length, 'worker')}): requests wait until one is resumed.`,
    });
  }
  return found;
}

export function configConditions({ configs }: FleetState): Condition[] {
  const found: Condition[] = configs
    .filter(({ problems }) => problems.length > 0)
    .map(({ name, problems, refusedAt }) => ({
      ...ofConfig('config_refused', 'warning'),
      subject: name,
      title: `${name} refuses its config file`,
      detail: `${name} runs on with the config it had, because of ${countOf(problems.length, 'problem')}: ${excerpt(problems[0] ?? '')}`,
      sinceAt: refusedAt,
    }));
  const hashes = Map.groupBy(configs, ({ hash }) => hash);
  if (hashes.size > 1) {
    const each = [...hashes]
      .sort(([, one], [, other]) => other.length - one.length)
      .map(([hash, own]) => `${hash} (${namesOf(own.map(({ name }) => name).sort(), 2)})`);
    found.push({
      ...ofConfig('config_differs', 'warning'),
      title: 'Processes run by different configs',
      detail: `The fleet runs by ${hashes.size} configs: ${namesOf(each, 3)}.`,
    });
  }
  const pending = configs.filter(({ needsRestart }) => needsRestart.length > 0);
  if (pending.length > 0) {
    const fields = [...new Set(pending.flatMap(({ needsRestart }) => needsRestart))].sort();
    found.push({
      ...ofConfig('config_needs_restart', 'info'),
      title: 'A change of the config waits for a restart',
      detail: `${countOf(pending.length, 'process', 'processes')} must restart to use the new ${namesOf(fields)}.`,
    });
  }
  return found;
}

const ofFleet = (code: string, severity: Condition['severity']) => ({
  code,
  subject: '',
  severity,
  link: pages.fleet,
});

const ofConfig = (code: string, severity: Condition['severity']) => ({
  ...ofFleet(code, severity),
  link: pages.config,
});
