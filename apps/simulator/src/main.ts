import { parseArgs } from 'node:util';
import { helpText } from './help.ts';
import { startSimulator } from './server.ts';

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    name: { type: 'string', default: 'simulated' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(helpText());
  process.exit(0);
}

const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`--port: expected a number from 0 to 65535, got '${values.port}'`);
  process.exit(2);
}

const simulator = await startSimulator({ host: values.host, port, name: values.name });

const stop = (): void => void simulator.close().then(() => process.exit(0));
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
// If the parent dies, even by SIGKILL, its IPC channel breaks.
if (process.channel !== undefined) process.once('disconnect', stop);

console.log(`simulated provider ${simulator.name} on ${simulator.url}`);
