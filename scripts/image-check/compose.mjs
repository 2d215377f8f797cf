// The parts of docker-compose.yml that a check of the image needs.

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/**
 * @param {string} file
 * @returns {Record<string, Service>} the services that every profile starts
 * @typedef {{ name: string, target?: string, command?: string[], environment: Record<string, string>, volumes: string[],
 *   tmpfs: string[], needs: string[], replicas: number, graceMs: number }} Service
 */
export function readServices(file) {
  const { services } = parse(interpolate(readFileSync(file, 'utf8')), { merge: true });
  return Object.fromEntries(
    Object.entries(services)
      .filter(([, { profiles }]) => profiles === undefined)
      .map(([name, service]) => [name, toService(name, service)]),
  );
}

const toService = (name, service) => ({
  name,
  target: service.build?.target,
  command: service.command,
  environment: service.environment ?? {},
  volumes: service.volumes ?? [],
  tmpfs: service.tmpfs ?? [],
  isReadOnly: service.read_only === true,
  needs: Object.keys(service.depends_on ?? {}),
  replicas: service.deploy?.replicas ?? 1,
  graceMs: Number.parseInt(service.stop_grace_period ?? '10s', 10) * 1000,
});

/** `${NAME:-value}`, as in an environment that sets none of them. */
const interpolate = (text) => text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1');
