import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from '../../test/kit/child.ts';
import { freePort } from '../ports.ts';
import { MODELS, type System } from './system.ts';

const PROGRAM = 'nginx';

/** `undefined` if it is not installed: it is a system program and no npm package. */
export async function nginxVersion(): Promise<string | undefined> {
  return promisify(execFile)(PROGRAM, ['-v']).then(
    ({ stderr }) => /nginx\/(\S+)/.exec(stderr)?.[1],
    () => undefined,
  );
}

/** A plain reverse proxy with one worker process: the minimum of any proxy in any language. */
export async function startNginx(upstream: string, signal: AbortSignal): Promise<System> {
  const version = (await nginxVersion()) ?? 'unknown';
  const folder = await mkdtemp(join(tmpdir(), 'bench-nginx-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  try {
    await writeFile(config, configFor(folder, port, new URL(upstream).host));
    const { pid, stop } = await startChild({
      name: 'nginx',
      command: PROGRAM,
      args: ['-p', folder, '-c', config, '-e', 'stderr'],
      // It logs its start only at this level, and nothing else at this level while it serves.
      ready: /start worker process /,
      readyOn: 'stderr',
      signal,
    });
    return {
      name: 'nginx',
      origin: `http://127.0.0.1:${port}`,
      pid,
      headers: {},
      models: MODELS,
      versions: { nginx: version },
      stop: async () => {
        await stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A master that runs as root gives its worker another user, which may not write to this folder. */
const asRoot = process.getuid?.() === 0;

const configFor = (folder: string, port: number, upstream: string): string => `
daemon off;
${asRoot ? 'user root;' : ''}
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr notice;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  client_max_body_size 16m;
  keepalive_requests 1000000;
  upstream provider {
    server ${upstream};
    keepalive 1024;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`;
