import { exitOnBug, onReload, onSignals } from './lifecycle.ts';
import { createLogger } from './logger.ts';

/**
 * A process for lifecycle.test.ts: says what it is asked to do on standard output, drains until
 * standard input ends, and has a bug on demand.
 */
const log = createLogger({ name: 'child' });
exitOnBug(log);
onReload((cause) => process.stdout.write(`reload ${cause}\n`));
onSignals({
  log,
  onDrain: async (order) => {
    process.stdout.write(`drain ${JSON.stringify(order)}\n`);
    if (process.argv[2] === 'fail') throw new Error('cannot drain');
    for await (const _chunk of process.stdin);
    process.exit(0);
  },
});
if (process.argv[2] === 'throw') setImmediate(() => Reflect.apply(JSON.parse, undefined, ['{']));
if (process.argv[2] === 'shortage') {
  setImmediate(() => {
    // Behind the throw, so that it has been raised when this is read.
    setImmediate(() => process.stdout.write('shortage raised\n'));
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  });
}
if (process.argv[2] === 'reject') void Promise.reject(new Error('nobody listens'));
if (process.argv[2] === 'log') {
  log.info({ headers: { authorization: 'hunter2', 'x-api-key': 'hunter2' }, apiKey: 'hunter2' });
  const error = Object.assign(new Error('WRONGPASS'), {
    command: { name: 'auth', args: ['hunter2'] },
  });
  log.error({ err: error }, 'redis');
  log.debug('not shown');
}
if (process.argv[2] === 'flood') {
  for (let i = 0; i < 200; i++) log.info({ padding: 'x'.repeat(1000) });
}
process.stdout.write('up\n');
const keepAlive = setInterval(() => undefined, 1000);
if (process.argv[2] === 'idle' || process.argv[2] === 'log') clearInterval(keepAlive);
