import { simulatedAliases } from './simulated.ts';

/** The line that reports that an ingress can be reached; scripts wait for it. */
export function readyLine(url: string): string {
  return `millrace ready ${url}\n`;
}

/** A first example for a start without a config. */
export function welcome(url: string, configFile: string): string {
  return `
The providers are simulated: no key, no cost, made-up text. Open

  ${url}/admin/console/playground

and break something while an answer streams, or try

  curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"simulated","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

Models      ${simulatedAliases.join(', ')}
Console     ${url}/admin
Config      ${configFile} (copy it, put real providers in, and start with --config FILE)
`;
}
