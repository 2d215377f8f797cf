import { Command, Option } from 'commander';
import { version } from '@millrace/shared/runtime/version';
import { readAccess } from './http/access.ts';
import { connect } from './http/ingress.ts';
import type { Ingress } from './http/ingress.ts';
import { exitCodes } from './io.ts';
import type { Io } from './io.ts';
import {
  readCount,
  readDuration,
  readExpiry,
  readGrace,
  readGroups,
  readLimit,
  readPort,
  readMoney,
  readList,
  readStatus,
  readTime,
} from './parameters.ts';
import type { AuditOptions } from './commands/audit.ts';
import type { DemoOptions } from './commands/demo.ts';
import type { KeyChange, NewKey } from './commands/keys.ts';
import type { Filters } from './commands/requests.ts';

/* Every command with its arguments. A command's own code is loaded when it runs, as `doctor` alone needs a Redis client. */

export function buildProgram(io: Io): Command {
  const program = new Command('millrace')
    .description('Observes and operates a fleet of Millrace.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(add --help for the arguments)')
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .option(
      '--url <url>',
      'an ingress; several, separated by commas: if one does not answer, the next is asked (MILLRACE_URL)',
    )
    .option('--admin-user <name>', 'the admin user (MILLRACE_ADMIN_USER)')
    .option('--admin-password <password>', 'its password; better in MILLRACE_ADMIN_PASSWORD')
    .option('--api-key <key>', 'an API key, for tail; better in MILLRACE_API_KEY')
    .addHelpText(
      'after',
      `
The admin API needs the user and password of \`admin\` in the config; without that section it answers this machine only.
Exit codes: 0; ${exitCodes.failed}: the answer is no, or no ingress answers; ${exitCodes.usage}: wrong arguments; ${exitCodes.config}: the config is wrong.`,
    );
  const ingress = (): Ingress => connect(readAccess(program.opts(), io.env), io.signal);

  command('status', 'the processes of the fleet, its queue, and what is not healthy')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const { status } = await import('./commands/status.ts');
      await status(ingress(), io, options);
    });

  command(
    'doctor',
    'checks config, Redis, providers, certificates and database; needs no running fleet',
  )
    .option('--config <file>', 'the config file (MILLRACE_CONFIG)')
    .option('--redis <url>', 'a shared Redis (REDIS_URL)')
    .option('--database <url>', 'the database of the ledger (DATABASE_URL)')
    .option('--timeout <duration>', 'longest wait for each answer', readDuration, 5000)
    .option('--json', 'as JSON')
    .action(async (options: DoctorFlags) => {
      const { doctor } = await import('./commands/doctor.ts');
      const isNamed = (program.opts()['url'] ?? io.env['MILLRACE_URL'] ?? '') !== '';
      await doctor(io, options, isNamed ? ingress() : undefined);
    });

  command(
    'demo',
    'starts a fleet with simulated providers, kills parts of it, and shows that no stream breaks',
  )
    .option('--streams <count>', 'streams that are open when a process is killed', readCount, 20)
    .option('--port <port>', 'port of its ingress; 0 takes a free one', readPort, 0)
    .option('--stay', 'leaves the fleet running until Ctrl-C')
    .option('--verbose', "shows the fleet's own output")
    .action(async (options: DemoOptions) => {
      const { demo } = await import('./commands/demo.ts');
      await demo(io, options);
    });

  const config = command('config', 'about config files');
  subcommand(config, 'check <file>', 'validates a config file as every process does')
    .option('--role <role>', 'ingress, worker, admin or start', 'start')
    .action(async (file: string, options: { role: string }) => {
      const { checkConfig } = await import('./commands/config-check.ts');
      checkConfig(io, file, options.role);
    });

  command(
    'tail <id>',
    'follows a request to its end: its text on standard output, its events on standard error',
  )
    .option('--json', 'its events as JSON, one a line, on standard output')
    .option('--after <entry>', 'begins behind this entry')
    .option('--patience <duration>', 'how long no ingress may answer', readDuration, 60_000)
    .action(async (id: string, options: TailFlags) => {
      const { tail } = await import('./commands/tail.ts');
      await tail(ingress(), io, id, options);
    });

  filtered(command('requests [id]', 'ended requests, newest first, or one of them with its events'))
    .option('--limit <count>', 'at most so many (default 20)', readCount)
    .option('--search <text>', 'whose id, session, user, prompt hash or error contains it')
    .option('--cursor <cursor>', 'the requests behind those of an earlier answer')
    .addOption(new Option('--json', 'as JSON').conflicts('csv'))
    .addOption(new Option('--csv', 'all of them, as CSV').conflicts(['limit', 'cursor']))
    .action(async (id: string | undefined, options: RequestsFlags) => {
      const { requests, request } = await import('./commands/requests.ts');
      if (id === undefined) await requests(ingress(), io, options);
      else await request(ingress(), io, id, options);
    });

  filtered(command('usage', 'sums of ended requests, their tokens and their cost'))
    .option(
      '--by <fields>',
      'groups: some of key, user, model, provider, status, hour, day',
      readGroups,
    )
    .addOption(new Option('--json', 'as JSON').conflicts('csv'))
    .option('--csv', 'as CSV')
    .action(async (options: UsageFlags) => {
      const { usage } = await import('./commands/usage.ts');
      await usage(ingress(), io, options);
    });

  command('audit', 'actions of operators, changes of the config, and refused keys, newest first')
    .option('--from <time>', 'from this time on: RFC 3339, or a time ago such as 24h', readTime)
    .option('--to <time>', 'before this time', readTime)
    .option('--actor <name>', 'of this admin or process')
    .option('--action <action>', 'such as key.create or config.changed')
    .option('--target <name>', 'about this key, process, target or request')
    .option('--limit <count>', 'at most so many (default 20)', readCount)
    .option('--cursor <cursor>', 'the entries behind those of an earlier answer')
    .addOption(new Option('--json', 'as JSON').conflicts('csv'))
    .addOption(new Option('--csv', 'all of them, as CSV').conflicts(['limit', 'cursor']))
    .action(async (options: AuditOptions) => {
      const { audit } = await import('./commands/audit.ts');
      await audit(ingress(), io, options);
    });

  for (const order of ['drain', 'resume'] as const) {
    const what =
      order === 'drain'
        ? 'an ingress or a worker takes no new work; what it has under way goes on, and it stays'
        : 'a drained process takes new work again';
    command(`${order} <process>`, what).action(async (name: string) => {
      const { sendOrder } = await import('./commands/order.ts');
      await sendOrder(ingress(), io, name, order);
    });
  }

  const keys = command('keys', 'the API keys of clients');
  subcommand(keys, 'list', 'every key, those of the config included, without secrets')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const { listKeys } = await import('./commands/keys.ts');
      await listKeys(ingress(), io, options);
    });
  keyFields(
    subcommand(keys, 'create <id>', 'a new key; prints its secret, which is shown once'),
  ).action(async (id: string, options: NewKey) => {
    const { createKey } = await import('./commands/keys.ts');
    await createKey(ingress(), io, id, options);
  });
  keyFields(
    subcommand(keys, 'update <id>', 'changes what is given; limits and a budget as a whole'),
  )
    .addOption(
      new Option('--no-limits', 'the key has no limits any more').conflicts([
        'requestsPerMinute',
        'tokensPerMinute',
        'concurrent',
      ]),
    )
    .addOption(
      new Option('--no-budget', 'the key has no budget any more').conflicts([
        'budgetDay',
        'budgetMonth',
        'tokensPerDay',
        'tokensPerMonth',
      ]),
    )
    .action(async (id: string, options: KeyChange) => {
      const { updateKey } = await import('./commands/keys.ts');
      await updateKey(ingress(), io, id, options);
    });
  subcommand(keys, 'rotate <id>', 'gives a key a new secret, and prints it')
    .option('--grace <duration>', 'how long the old ones stay valid; 0: not at all', readGrace)
    .action(async (id: string, options: { grace?: string }) => {
      const { rotateKey } = await import('./commands/keys.ts');
      await rotateKey(ingress(), io, id, options);
    });
  subcommand(keys, 'revoke <id>', 'ends a key for good, and what is open with it').action(
    async (id: string) => {
      const { revokeKey } = await import('./commands/keys.ts');
      await revokeKey(ingress(), io, id);
    },
  );
  return program;

  function command(usage: string, description: string): Command {
    return subcommand(program, usage, description);
  }
}

/** Settings such as `exitOverride` are inherited by a command that its parent makes. */
const subcommand = (parent: Command, usage: string, description: string): Command =>
  parent.command(usage).description(description);

type DoctorFlags = {
  config?: string;
  redis?: string;
  database?: string;
  timeout: number;
  json?: true;
};
type TailFlags = { json?: true; after?: string; patience: number };
type RequestsFlags = Filters & { limit?: number; cursor?: string; json?: true; csv?: true };
type UsageFlags = Filters & { by?: string; json?: true; csv?: true };

const keyFields = (command: Command): Command =>
  command
    .option('--models <models>', 'the models that it may use, separated by commas', readList)
    .option('--ips <networks>', 'the addresses and networks that may use it', readList)
    .option('--priority <class>', 'high, normal or low')
    .option('--weight <count>', 'its share within its priority', readLimit)
    .option('--debug', 'records its requests in the debug log')
    .option('--no-debug', 'does not record them')
    .option('--requests-per-minute <count>', 'a limit', readLimit)
    .option('--tokens-per-minute <count>', 'a limit', readLimit)
    .option('--concurrent <count>', 'most requests at a time', readLimit)
    .option('--budget-day <usd>', 'most USD of a day (UTC)', readMoney)
    .option('--budget-month <usd>', 'most USD of a month (UTC)', readMoney)
    .option('--tokens-per-day <count>', 'most tokens of a day (UTC)', readLimit)
    .option('--tokens-per-month <count>', 'most tokens of a month (UTC)', readLimit)
    .option('--expires <time>', 'its end: RFC 3339, or a time from now such as 90d', readExpiry);

const filtered = (command: Command): Command =>
  command
    .option('--from <time>', 'from this time on: RFC 3339, or a time ago such as 24h', readTime)
    .option('--to <time>', 'before this time', readTime)
    .option('--key <id>', 'of this key; several with commas, and with a - before it all others')
    .option('--user <user>', 'of this user, as the requests name it')
    .option('--session <session>', 'of this session, as the requests name it')
    .option('--model <model>', 'of this model, or several, as with --key')
    .option('--provider <provider>', 'answered by this provider, or several')
    .option('--status <status>', 'some of completed, failed, cancelled, rescued', readStatus)
    .option('--error <code>', 'failed with this code, or several');
