import { builtInProviders } from '@millrace/shared/config/simulated-providers';
import type { ProcessSpec } from './supervise.ts';

/** In the order in which the targets of a start without a config take turns. */
const simulatedProviders = Object.keys(builtInProviders);

export function simulatorSpec(
  name: string,
  { entry, cwd, env }: { entry: string; cwd: string; env: NodeJS.ProcessEnv },
): ProcessSpec {
  return {
    name,
    // On its earlier port, because workers have the URL.
    command: (earlier) => {
      const port = earlier === undefined ? '0' : new URL(earlier).port;
      return [process.execPath, entry, '--port', port, '--name', name];
    },
    cwd,
    env,
    readyWhen: { kind: 'line', pattern: /^simulated provider \S+ on (http:\S+)/ },
  };
}

/** The answers of the aliases arrive at reading pace. */
const pace = 'tokens=60,pace=30';

const chat =
  '{ serves: [chat], tools: true, structuredOutput: true, reasoning: false, input: [text], output: [text] }';

/** Long enough to break something in the middle. */
const longPace = 'tokens=400,pace=40';

const aliases: readonly {
  name: string;
  about: string;
  targets: readonly string[];
  /** Of each target, in YAML; absent: `chat`. */
  capabilities?: string;
  /** More fields of the model, as lines of the config. */
  fields?: readonly string[];
}[] = [
  {
    name: 'simulated',
    about: 'an answer at a readable pace',
    targets: [`healthy:${pace}`, `healthy:${pace}`],
  },
  {
    name: 'simulated-long',
    about: 'an answer of 16 seconds, to break something in the middle (/admin/console/playground)',
    // They continue a trailing assistant message, so a rescue takes no longer than a first token.
    targets: [`prefill:${longPace}`, `prefill:${longPace}`],
    fields: ['idleTimeout: 2s # a stalled provider is left sooner than by default'],
  },
  { name: 'simulated-fast', about: 'the same, all at once', targets: ['healthy', 'healthy'] },
  {
    name: 'simulated-slow-first-token',
    about: 'thinks for three seconds before its first word',
    targets: [`healthy:first=3000,${pace}`, `healthy:first=3000,${pace}`],
  },
  {
    name: 'simulated-tools',
    about: 'calls a tool that the request offers once, then answers',
    targets: ['tools:pace=30', 'tools:pace=30'],
  },
  {
    name: 'simulated-embeddings',
    about: 'vectors, also moderations and rankings',
    targets: ['healthy', 'healthy'],
    capabilities: '{ serves: [embeddings, moderations, rerank], input: [text] }',
  },
  {
    name: 'simulated-media',
    about: 'images, speech and transcripts, streamed or whole',
    targets: ['healthy:tokens=20,pace=100', 'healthy:tokens=20,pace=100'],
    capabilities: '{ serves: [images, speech, transcriptions] }',
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

/** Lines of the config's `models`. */
export const simulatedModelLines = (): string[] =>
  aliases.flatMap(({ name, about, targets, capabilities = chat, fields = [] }) => [
    `  ${name}: # ${about}`,
    ...fields.map((field) => `    ${field}`),
    '    targets:',
    ...targets.map((model, index) => {
      const provider = simulatedProviders[index % simulatedProviders.length] ?? '';
      const prefill = model.startsWith('prefill:') ? ', prefill: true' : '';
      return `      - { provider: ${provider}, model: '${model}'${prefill}, capabilities: ${capabilities} }`;
    }),
  ]);
