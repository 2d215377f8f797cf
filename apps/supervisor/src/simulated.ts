import { writeFileSync } from 'node:fs';
import type { ProcessSpec } from './supervise.ts';

/** The providers that `npm start` makes up when it is given no config. */
export const simulatedProviders = ['sim-primary', 'sim-backup'] as const;

export type SimulatedProvider = { readonly name: string; readonly url: string };

export function simulatorSpec(
  name: string,
  { entry, cwd, env }: { entry: string; cwd: string; env: NodeJS.ProcessEnv },
): ProcessSpec {
  return {
    name,
    // On the port it had: the config names it.
    command: (earlier) => {
      const port = earlier === undefined ? '0' : new URL(earlier).port;
      return [process.execPath, entry, '--port', port, '--name', name];
    },
    cwd,
    env,
    readyWhen: { kind: 'line', pattern: /^simulated provider \S+ on (http:\S+)/ },
  };
}

/** The words that the aliases' answers are made of arrive at a reading pace. */
const pace = 'tokens=60,pace=30';

const aliases: readonly { name: string; about: string; targets: readonly string[] }[] = [
  {
    name: 'simulated',
    about: 'an answer at a readable pace',
    targets: [`healthy:${pace}`, `healthy:${pace}`],
  },
  { name: 'simulated-fast', about: 'the same, all at once', targets: ['healthy', 'healthy'] },
  {
    name: 'simulated-slow-first-token',
    about: 'thinks for three seconds before its first word',
    targets: [`healthy:first=3000,${pace}`, `healthy:first=3000,${pace}`],
  },
  {
    name: 'simulated-tools',
    about: 'calls the tools that the request offers',
    targets: ['tools:pace=30', 'tools:pace=30'],
  },
  {
    name: 'simulated-fallback',
    about: 'the first provider is down, the second answers',
    targets: ['status:code=503', `healthy:${pace}`],
  },
  {
    name: 'simulated-cut',
    about: 'the first provider cuts its answer off in the middle',
    targets: [`cut:after=30,${pace}`, `healthy:${pace}`],
  },
  {
    name: 'simulated-error',
    about: 'no provider answers: one clear error',
    targets: ['status:code=503', 'status:code=503'],
  },
];

export const simulatedAliases: readonly string[] = aliases.map(({ name }) => name);

/** Writes the config of a start without one; it can be copied and changed. */
export function writeSimulatedConfig(file: string, providers: readonly SimulatedProvider[]): void {
  const lines = [
    '# Written by npm start, which was given no config: simulated providers, no real ones.',
    '# Written anew at every start; copy it to change it.',
    'providers:',
    ...providers.map(({ name, url }) => `  ${name}: { api: openai, baseUrl: ${url}/v1 }`),
    'models:',
    ...aliases.flatMap(({ name, about, targets }) => [
      `  ${name}: # ${about}`,
      '    targets:',
      ...targets.map((model, index) => {
        const { name: provider } = providers[index % providers.length] ?? { name: '' };
        return `      - { provider: ${provider}, model: '${model}' }`;
      }),
    ]),
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
}
