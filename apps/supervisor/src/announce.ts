import type { EnvironmentProvider } from './environment-providers.ts';
import { simulatedAliases } from './simulated.ts';

/** The line that reports that an ingress can be reached; scripts wait for it. */
export function readyLine(url: string): string {
  return `millrace ready ${url}\n`;
}

/** A first example for a start without a config. */
export function welcome(
  url: string,
  configFile: string,
  providers: readonly EnvironmentProvider[],
): string {
  const width = Math.max(...providers.map(({ name }) => name.length)) + 4;
  const real = providers.map(({ name, key }) => `${`${name}/*`.padEnd(width)}with ${key}`);
  const served = providers.length > 0 ? `Real models ${real.join('\n            ')}\n` : '';
  return `
The simulated models need no key and cost nothing; their text is made up. Open

  ${url}/admin/console/playground

and break something while an answer streams, or try

  curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"simulated","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

Simulated   ${simulatedAliases.join(', ')}
${served}Console     ${url}/admin
Config      ${configFile} (copy it, change it, and start with --config FILE)
`;
}
