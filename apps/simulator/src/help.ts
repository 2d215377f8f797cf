import { BEHAVIOURS } from './catalogue.ts';
import { KEYS } from './keys.ts';

/** What a model of a simulated provider can be called. */
export function helpText(): string {
  const behaviours = Object.entries(BEHAVIOURS).map(([name, { help }]): [string, string] => [
    name,
    help,
  ]);
  const keys = Object.entries(KEYS).map(([name, { default: value, help }]): [string, string] => [
    name,
    value === '' ? help : `${help} (default ${value})`,
  ]);
  return `The models of a simulated provider: BEHAVIOUR, or BEHAVIOUR:KEY=VALUE,KEY=VALUE
For example  cut:after=30,tokens=60,pace=30

Behaviours, each with some of the keys:
${columns(behaviours)}

Keys:
${columns(keys)}`;
}

function columns(rows: readonly [name: string, help: string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`).join('\n');
}
