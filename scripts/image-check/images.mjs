// Builds the targets of the Dockerfile with buildah, which needs no running engine.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const base = 'docker.io/library/node:24-slim';
const debian = 'bookworm';

const env = { BUILDAH_ISOLATION: 'chroot', ...process.env };
const buildah = (...args) => execFileSync('buildah', args, { env, encoding: 'utf8' }).trim();
const shown = (command, ...args) => {
  const { status } = spawnSync(command, args, { env, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${status}`);
};

/** @returns {string} the built image's name */
export function buildTarget(root, target) {
  const tag = `localhost/millrace-check-${target}`;
  const args = ['--network', 'host', '--format', 'docker', '--target', target];
  shown('buildah', 'bud', '--pull-never', ...args, '-t', tag, root);
  return tag;
}

/** A container of an image: where its files are, and how it is configured. */
export function openImage(image) {
  const container = buildah('from', '--pull-never', image);
  const { Docker } = JSON.parse(buildah('inspect', '--type', 'container', container));
  const { Env, Entrypoint, Cmd, User, WorkingDir, Labels, Healthcheck } = Docker.config;
  const folder = buildah('mount', container);
  return {
    folder,
    env: Env,
    entrypoint: Entrypoint ?? [],
    command: Cmd,
    user: User,
    workingDir: WorkingDir,
    labels: Labels,
    healthcheck: Healthcheck.Test.slice(1), // without CMD
    bytes: sizeOf(folder),
    close: () => buildah('rm', container),
  };
}

export function baseBytes() {
  const container = buildah('from', '--pull-never', base);
  try {
    return sizeOf(buildah('mount', container));
  } finally {
    buildah('rm', container);
  }
}

function sizeOf(folder) {
  const [bytes] = execFileSync('du', ['-sxb', folder], { encoding: 'utf8' }).split('\t');
  return Number(bytes);
}

/** Pulls the base image, or makes one like it where no registry of images can be reached. */
export function ensureBase(root) {
  if (buildah('images', '-q', '--filter', `reference=${base}`) !== '') return;
  if (spawnSync('buildah', ['pull', '-q', base], { env, timeout: 60_000 }).status === 0) return;
  process.stderr.write(`${base} cannot be pulled: making one of Debian's packages and this Node\n`);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-base-'));
  try {
    const files = join(folder, 'root');
    shown('debootstrap', '--variant=minbase', debian, files);
    const local = join(files, 'usr/local');
    mkdirSync(join(local, 'lib/node_modules'), { recursive: true });
    mkdirSync(join(local, 'etc'), { recursive: true });
    cpSync(join(root, 'node_modules/node/bin/node'), join(local, 'bin/node'));
    const packages = execFileSync('npm', ['root', '-g'], { encoding: 'utf8' }).trim();
    cpSync(join(packages, 'npm'), join(local, 'lib/node_modules/npm'), { recursive: true });
    symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
    execFileSync('chroot', [files, 'useradd', '-m', '-u', '1000', 'node']);
    useSettingsOfThisMachine(files);
    const container = buildah('from', 'scratch');
    shown('buildah', 'add', '-q', container, files, '/');
    const settings = ['--env', 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'];
    settings.push('--env', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
    buildah('config', ...settings, container);
    buildah('commit', '-q', container, base);
    buildah('rm', container);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** How this machine reaches its npm registry. */
function useSettingsOfThisMachine(files) {
  const certificates = 'etc/ssl/certs/ca-certificates.crt';
  mkdirSync(join(files, 'etc/ssl/certs'), { recursive: true });
  if (existsSync(`/${certificates}`)) cpSync(`/${certificates}`, join(files, certificates));
  const npmrc = execFileSync('npm', ['config', 'get', 'globalconfig'], { encoding: 'utf8' }).trim();
  if (existsSync(npmrc)) cpSync(npmrc, join(files, 'usr/local/etc/npmrc'));
}
