// Builds every target of the Dockerfile, starts the fleet of docker-compose.yml from the images, serves streams through
// it, and prints the sizes of the images. Needs root, buildah, iproute2, util-linux, redis-server and PostgreSQL, and
// debootstrap where no registry of images can be reached.
//
//   node scripts/image-check/main.mjs

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readServices } from './compose.mjs';
import { startContainer } from './container.mjs';
import { baseBytes, buildTarget, ensureBase, openImage } from './images.mjs';
import { addHost, openNetwork } from './network.mjs';
import { startPostgres, startRedis } from './servers.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Of an image without its base. */
const mostBytes = 100_000_000;
const healthyWithinMs = 30_000;
const insideFlag = '--inside';

const services = readServices(join(root, 'docker-compose.yml'));
const built = Object.values(services).filter(({ target }) => target !== undefined);
const targets = [...new Set(built.map(({ target }) => target))];
const servers = { redis: startRedis, postgres: startPostgres };

if (process.argv[2] === insideFlag) {
  await runFleet(JSON.parse(process.argv[3]));
  process.exit(0); // with Redis and PostgreSQL, which are still there
}
process.exitCode = build();

function build() {
  ensureBase(root);
  const images = Object.fromEntries(targets.map((target) => [target, buildTarget(root, target)]));
  // In namespaces of its own: the network and every process end with the check.
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const self = [process.execPath, fileURLToPath(import.meta.url), insideFlag];
  return spawnSync('unshare', [...namespaces, ...self, JSON.stringify(images)], {
    stdio: 'inherit',
  }).status;
}

async function runFleet(names) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-image-'));
  // PostgreSQL runs as its own user.
  spawnSync('chmod', ['755', folder]);
  const images = Object.fromEntries(targets.map((target) => [target, openImage(names[target])]));
  try {
    for (const image of Object.values(images)) checkContents(image);
    openNetwork();
    const fleet = await startFleet(images, folder);
    await useFleet(fleet);
    await stopFleet(fleet);
    printSizes(images);
  } finally {
    for (const image of Object.values(images)) image.close();
    rmSync(folder, { recursive: true });
  }
}

function checkContents({ folder, labels, user }) {
  const { packages } = JSON.parse(readFileSync(join(folder, 'app/sbom.spdx.json'), 'utf8'));
  const listed = new Set(packages.map(({ name }) => name));
  expect(listed.has('fastify') && !listed.has('vitest'), 'the SBOM lists what runs');
  expect(labels['org.opencontainers.image.title'] === 'Millrace', 'the image has labels');
  expect(user === '1000:1000', 'the image does not run as root');
}

async function startFleet(images, folder) {
  const known = new Set([...Object.keys(servers), ...built.map(({ name }) => name)]);
  const members = [...known].flatMap((name) =>
    Array.from({ length: services[name].replicas }, () => ({
      service: services[name],
      host: addHost(),
    })),
  );
  const hostsFile = join(folder, 'hosts');
  const lines = members.map(({ service, host }) => `${host.address} ${service.name}`);
  writeFileSync(hostsFile, ['127.0.0.1 localhost', ...lines, ''].join('\n'));

  const containers = [];
  const started = new Map();
  /** Behind what it depends on, as Compose does. */
  const start = (name) => {
    if (!started.has(name)) started.set(name, startNow(services[name]));
    return started.get(name);
  };
  async function startNow(service) {
    await Promise.all(service.needs.map(start));
    const own = members.filter((member) => member.service === service);
    await Promise.all(
      own.map(async ({ host }) => {
        const startServer = servers[service.name];
        if (startServer) return startServer({ service, host, folder });
        const image = images[service.target];
        const container = await startContainer({ image, service, host, hostsFile, folder: root });
        containers.push(container);
        await healthy(container);
      }),
    );
    say(`${service.name}: ${own.length > 1 ? `${own.length} containers are` : 'is'} healthy`);
  }
  await Promise.all([...known].map(start));
  const addressOf = (name) => members.find(({ service }) => service.name === name).host.address;
  return { containers, urlOf: (name) => `http://${addressOf(name)}:8080` };
}

async function healthy(container) {
  const isOver = async () => (await container.isHealthy()) || !container.isRunning();
  const isHealthy = (await within(healthyWithinMs, isOver)) && container.isRunning();
  expect(isHealthy, `${container.name} is healthy\n${isHealthy ? '' : container.log()}`);
}

/** Whether something becomes true in time. */
async function within(ms, isTrue) {
  for (const until = Date.now() + ms; Date.now() < until; await sleep(200)) {
    if (await isTrue()) return true;
  }
  return false;
}

async function useFleet({ containers, urlOf }) {
  const { environment } = services['ingress-a'];
  const [first, second] = [urlOf('ingress-a'), urlOf('ingress-b')];
  for (const url of [first, second]) {
    const isReady = async () => (await fetch(`${url}/readyz`)).ok;
    expect(await within(10_000, isReady), `${url} is ready`);
  }
  const bearer = { authorization: `Bearer ${environment.MILLRACE_KEY}` };
  const whole = await readStream(first, 'gpt-4o', bearer);
  expect(whole.length > 0, 'a stream arrives');
  const rescued = await readStream(second, 'breaks-off', bearer);
  expect(rescued === whole, 'a stream whose provider breaks off arrives whole');

  const { MILLRACE_ADMIN_USER: user, MILLRACE_ADMIN_PASSWORD: password } = environment;
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  const headers = { authorization: `Basic ${basic}` };
  const requests = async () =>
    (await (await fetch(`${first}/admin/requests`, { headers })).json()).data ?? [];
  const isStored = async () => {
    const models = new Set((await requests()).map(({ model }) => model));
    return models.has('gpt-4o') && models.has('breaks-off');
  };
  expect(await within(10_000, isStored), 'the ledger in PostgreSQL has both requests');

  const page = await fetch(`${first}/admin/console/`);
  expect(page.ok && (await page.text()).includes('<html'), 'the console is in the image');
  const ingress = containers.find(({ name }) => name === 'ingress-a');
  const status = await ingress.exec(['node', 'apps/cli/src/main.ts', 'status']);
  expect(/worker/.test(status), 'the command line shows the fleet');
  for (const path of ['/app/file', '/ledger/file', '/home/node/file']) {
    const wrote = await ingress.exec(['touch', path]).catch(({ stderr }) => stderr);
    expect(/Read-only file system/.test(wrote), `${path} cannot be written`);
  }
}

async function readStream(url, model, headers) {
  const messages = [{ role: 'user', content: 'Hello' }];
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, messages }),
  });
  const text = await response.text();
  expect(text.endsWith('data: [DONE]\n\n'), `the stream of ${model} reaches its end`);
  const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
  return events
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0]?.delta?.content ?? '')
    .join('');
}

/** Workers first, as they hand their streams over; providers last. */
async function stopFleet({ containers }) {
  const isProvider = ({ name }) => name.startsWith('simulator');
  for (const group of [
    containers.filter((one) => !isProvider(one)),
    containers.filter(isProvider),
  ]) {
    const codes = await Promise.all(group.map((one) => one.stop()));
    for (const [index, code] of codes.entries()) {
      const { name, log } = group[index];
      expect(code === 0, `${name} ends with 0 at SIGTERM (${code})\n${code === 0 ? '' : log()}`);
      expect(!/EROFS/.test(log()), `${name} writes to no read-only folder`);
    }
  }
}

function printSizes(images) {
  const base = baseBytes();
  const inMb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
  say(`base image: ${inMb(base)}`);
  for (const [target, { bytes }] of Object.entries(images)) {
    say(`${target}: ${inMb(bytes)}, without the base ${inMb(bytes - base)}`);
    expect(bytes - base < mostBytes, `${target} adds less than ${inMb(mostBytes)} to its base`);
  }
}

function expect(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
