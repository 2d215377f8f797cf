// Redis and PostgreSQL of docker-compose.yml: this machine's programs, each at its own address.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const inNamespace = ({ namespace }, command) => ['ip', ['netns', 'exec', namespace, ...command]];

export async function startRedis({ service, host, folder }) {
  const data = join(folder, 'redis');
  mkdirSync(data);
  const own = ['--dir', data, '--protected-mode', 'no', '--bind', host.address];
  const [command, args] = inNamespace(host, [...service.command, ...own]);
  spawn(command, args, { stdio: 'ignore' });
  await accepts(host.address, 6379);
}

export async function startPostgres({ service, host, folder }) {
  const {
    POSTGRES_USER: user,
    POSTGRES_PASSWORD: password,
    POSTGRES_DB: database,
  } = service.environment;
  const data = join(folder, 'postgres');
  mkdirSync(data);
  // Its programs refuse to run as root.
  execFileSync('chown', ['postgres:postgres', data]);
  const asPostgres = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'];
  const secret = join(folder, 'password');
  writeFileSync(secret, password);
  chmodSync(secret, 0o644);
  const [program, ...first] = asPostgres;
  const auth = ['--auth-host=scram-sha-256', '--auth-local=trust', `--pwfile=${secret}`];
  execFileSync(program, [...first, 'initdb', '-D', data, '-U', user, ...auth]);
  writeFileSync(join(data, 'pg_hba.conf'), 'local all all trust\nhost all all all scram-sha-256\n');
  const settings = ['-c', `listen_addresses=${host.address}`, '-k', data];
  const [command, args] = inNamespace(host, [...asPostgres, 'postgres', '-D', data, ...settings]);
  spawn(command, args, { stdio: 'ignore' });
  await accepts(host.address, 5432);
  if (database !== 'postgres') execFileSync('createdb', ['-h', data, '-U', user, database]);
}

async function accepts(address, port) {
  for (let attempts = 0; attempts < 100; attempts += 1) {
    const socket = connect(port, address);
    const isOpen = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await sleep(100);
  }
  throw new Error(`nothing listens on ${address}:${port}`);
}
