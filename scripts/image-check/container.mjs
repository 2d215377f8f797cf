// Runs a command in an image as an engine does: namespaces of its own for processes, mounts and the network, a read-only
// root file system, the image's user without any capability. The command is process 1.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** In the container's root folder `$1`: mounts, then the command behind it. */
const enter = `
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  case $1 in
    tmpfs) mount -t tmpfs -o size=16m tmpfs "$root$2"; chmod 1777 "$root$2"; shift 2 ;;
    bind) mount --bind "$2" "$root$3"; shift 3 ;;
    read-only) mount -o remount,bind,ro "$root"; shift ;;
  esac
done
shift
exec chroot "$root" "$@"`;

/**
 * @param {object} options
 * @param {ReturnType<typeof import('./images.mjs').openImage>} options.image
 * @param {import('./compose.mjs').Service} options.service
 * @param {{ namespace: string }} options.host
 * @param {string} options.hostsFile
 * @param {string} options.folder  of docker-compose.yml
 */
export async function startContainer({ image, service, host, hostsFile, folder }) {
  const volumes = [...service.volumes.map(toVolume(folder)), [hostsFile, '/etc/hosts']];
  for (const [, target] of volumes) addMountPoint(join(image.folder, target));
  const mounts = volumes.flatMap(([source, target]) => ['bind', source, target]);
  const empty = service.tmpfs.flatMap((path) => ['tmpfs', path]);
  const confined = service.isReadOnly ? ['read-only'] : [];
  const command = [...image.entrypoint, ...(service.command ?? image.command)];
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const shell = ['sh', '-c', enter, 'sh', image.folder];
  const child = spawn(
    'ip',
    [
      'netns',
      'exec',
      host.namespace,
      'unshare',
      ...namespaces,
      ...shell,
      ...mounts,
      ...empty,
      ...confined,
      '--',
      ...inside(image, service, command),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk) => (log += chunk));
  const exit = once(child, 'exit').then(([code]) => code);
  const isRunning = () => child.exitCode === null && child.signalCode === null;

  /** The command, as this process sees it: the child of `unshare`. */
  const processId = () =>
    Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim());

  /** Runs a command beside it. Rejects if that ends with another code than 0. */
  async function exec(command) {
    const where = ['--target', processId(), '--mount', '--pid', '--net', '--root', '--wd'];
    const { stdout } = await run('nsenter', [
      ...where.map(String),
      ...inside(image, service, command),
    ]);
    return stdout;
  }

  return {
    name: service.name,
    exec,
    isRunning,
    log: () => log,
    isHealthy: () =>
      exec(image.healthcheck).then(
        () => true,
        () => false,
      ),
    /** Its exit code; null if it did not end within its grace period. */
    async stop() {
      process.kill(processId(), 'SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), service.graceMs);
      const code = await exit;
      clearTimeout(timer);
      return code;
    },
  };
}

/** As the image's user, with its environment and that of the service. */
function inside(image, { environment }, command) {
  const [user, group] = image.user.split(':');
  const own = ['--reuid', user, '--regid', group, '--clear-groups'];
  const given = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const confined = ['setpriv', ...own, '--bounding-set=-all', '--no-new-privs'];
  const environed = ['env', '-i', `--chdir=${image.workingDir}`, ...image.env, ...given];
  return [...confined, ...environed, ...command];
}

const toVolume = (folder) => (volume) => {
  const [source, target] = volume.split(':');
  return [resolve(folder, source), target];
};

function addMountPoint(file) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '', { flag: 'a' });
}
