import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@millrace/shared/config';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

/** A value for every ${NAME} in a file. */
function environmentFor(name: string): Record<string, string> {
  const names = [...read(name).matchAll(/\$\{(\w+)\}/g)].map(([, found = '']) => found);
  return Object.fromEntries(names.map((found) => [found, `value-of-${found}`]));
}

const load = (name: string) =>
  loadConfig({
    argv: ['--config', join(root, name)],
    env: environmentFor(name),
    role: 'ingress',
  }).config;

type Service = {
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  stop_grace_period?: string;
};
const services = (
  parse(read('docker-compose.yml'), { merge: true }) as { services: Record<string, Service> }
).services;

describe('config.example.yaml', () => {
  test('is a valid config', () => {
    const config = load('config.example.yaml');
    expect(Object.keys(config.models)).toEqual(['gpt-4o', 'openai/*']);
    expect(config.keys?.map(({ id }) => id)).toEqual(['team-a']);
  });
});

describe('docker-compose.yml', () => {
  test('mounts a valid config and sets every variable that it reads', () => {
    const config = load('deploy/millrace.yaml');
    expect(config.listen).toMatchObject({ host: '0.0.0.0', port: 8080 });
    for (const name of Object.keys(environmentFor('deploy/millrace.yaml'))) {
      expect(services['ingress-a']?.environment).toHaveProperty(name);
      expect(services['worker']?.environment).toHaveProperty(name);
    }
  });

  test('names services in the config and for nginx that exist', () => {
    const hosts = Object.values(load('deploy/millrace.yaml').providers).map(
      ({ baseUrl }) => new URL(baseUrl).hostname,
    );
    const upstreams = [...read('deploy/nginx.conf').matchAll(/^ *server ([\w-]+):8080 /gm)].map(
      ([, host = '']) => host,
    );
    expect(upstreams).toEqual(['ingress-a', 'ingress-b']);
    for (const host of [...hosts, ...upstreams]) expect(services).toHaveProperty(host);
    for (const { depends_on: needs = {} } of Object.values(services)) {
      for (const name of Object.keys(needs)) expect(services).toHaveProperty(name);
    }
  });

  test('gives every process the database of the ledger, which PostgreSQL of the same file has', () => {
    const given = services['ingress-a']?.environment?.['DATABASE_URL'] ?? '';
    const url = new URL(given);
    const { environment: own = {} } = services[url.hostname] ?? {};
    expect(url.pathname).toBe(`/${own['POSTGRES_DB']}`);
    expect(url.username).toBe(own['POSTGRES_USER']);
    for (const name of ['ingress-b', 'worker', 'admin']) {
      expect(services[name]?.environment).toHaveProperty('DATABASE_URL', given);
    }
  });

  test('lets a process drain before it is killed', () => {
    const { drainTimeoutMs, drainDelayMs } = load('deploy/millrace.yaml');
    for (const name of ['ingress-a', 'ingress-b', 'worker', 'load-balancer']) {
      const grace = Number.parseInt(services[name]?.stop_grace_period ?? '', 10) * 1000;
      expect(grace).toBeGreaterThan(drainDelayMs + drainTimeoutMs + 3000);
    }
  });
});

describe('nginx.conf', () => {
  const text = read('deploy/nginx.conf');

  test('is accepted by nginx', () => {
    // `resolve` needs a newer one than most distributions have, and the certificates of nobody.
    const older = text
      .replaceAll(/ resolve /g, ' ')
      .replaceAll(/ingress-[ab]:8080/g, '127.0.0.1:1');
    const folder = mkdtempSync(join(tmpdir(), 'millrace-nginx-'));
    try {
      const file = join(folder, 'nginx.conf');
      writeFileSync(file, `pid ${folder}/nginx.pid;\nerror_log stderr;\n${older}`);
      const checked = spawnSync('nginx', ['-t', '-q', '-p', folder, '-c', file], {
        encoding: 'utf8',
      });
      // Where there is no nginx, the image has one.
      if (checked.error) return;
      expect({ status: checked.status, said: checked.stderr }).toMatchObject({ status: 0 });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('brings no request to an ingress that stops by a connection that it kept', () => {
    expect(text).not.toMatch(/^ *keepalive/m);
    expect(text).toMatch(/^ *'' close;$/m);
  });

  test('keeps /metrics and /admin from others, and says itself who asks', () => {
    const of = (path: string) => new RegExp(`location ${path} \\{([^}]*)\\}`).exec(text)?.[1] ?? '';
    expect(of('/metrics')).toContain('deny all;');
    expect(of('/admin')).toMatch(/allow 127\.0\.0\.0\/8;[^]*deny all;[^]*proxy_pass/);
    expect(text).not.toContain('$proxy_add_x_forwarded_for');
    expect(text).toMatch(/^worker_processes auto;$/m);
    expect(load('deploy/millrace.yaml').listen.trustedProxies).not.toEqual([]);
  });
});
