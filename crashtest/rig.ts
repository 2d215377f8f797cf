import { startSimulator } from '../apps/simulator/src/index.ts';
import type { LoggedRequest, Simulator } from '../apps/simulator/src/index.ts';
import type { ProfileName, ProviderCase } from './case.ts';
import { openFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';

/** The two simulated providers, and the proxy between them and the reader. */
export type Rig = {
  readonly primary: Simulator;
  readonly backup: Simulator;
  /** The proxy is Millrace, so its own headers and job pages can be checked. */
  readonly isMillrace: boolean;
  /** The URL of chat completions. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  close(): Promise<void>;
};

export const aliasOf = ({ id }: ProviderCase): string => id.toLowerCase();

/** Millrace as a fleet: Redis, two workers, two ingresses. */
export async function startMillrace(
  cases: readonly ProviderCase[],
  profile: ProfileName,
): Promise<Rig> {
  const models = cases.map((one) => [aliasOf(one), modelOf(one, profile)]);
  const fleet = await openFleet({ models: Object.fromEntries(models) as Record<string, unknown> });
  return {
    primary: fleet.primary,
    backup: fleet.backup,
    isMillrace: true,
    url: completionsOf(fleet.url),
    headers: {},
    close: () => fleet.close(),
  };
}

/** The cases run concurrently: each has a target of its own, so that none finds another one's breaker open. */
function modelOf(one: ProviderCase, profile: ProfileName) {
  const { primary, backup, settings, prefill } = one;
  const name = primary[profile];
  return {
    targets: [
      { provider: 'primary', model: `${name}${name.includes(':') ? ',' : ':'}key=${aliasOf(one)}` },
      { provider: 'backup', model: backup[profile], prefill },
    ],
    ...settings[profile],
  };
}

export type Target = {
  /** As for an OpenAI SDK: with or without `/v1` at its end. */
  baseUrl: string;
  apiKey?: string | undefined;
  primaryPort: number;
  backupPort: number;
};

/** Another proxy, configured with these two providers. */
export async function reachTarget(target: Target): Promise<Rig> {
  const primary = await startSimulator({ name: 'primary', port: target.primaryPort });
  const backup = await startSimulator({ name: 'backup', port: target.backupPort });
  return {
    primary,
    backup,
    isMillrace: false,
    url: completionsOf(target.baseUrl),
    headers: target.apiKey === undefined ? {} : { authorization: `Bearer ${target.apiKey}` },
    async close() {
      await Promise.all([primary.close(), backup.close()]);
    },
  };
}

export function completionsOf(baseUrl: string): string {
  const base = baseUrl.replace(/\/+$/u, '');
  return `${base}${/\/v\d+$/u.test(base) ? '' : '/v1'}/chat/completions`;
}

/** A request whose upstream calls can be identified, whatever the proxy changes in it. */
export const question = (alias: string, marker: string, more: object = {}) => ({
  model: alias,
  messages: [{ role: 'user', content: `Say something, please. (${marker})` }],
  user: marker,
  ...more,
});

/** The upstream calls of the requests with this marker, in their order. */
export const callsOf = (provider: Simulator, marker: string): readonly LoggedRequest[] =>
  provider.requests.filter(({ rawBody }) => rawBody.includes(marker));

export const attemptsOf = (
  { primary, backup }: Pick<Rig | Fleet, 'primary' | 'backup'>,
  marker: string,
) => ({
  primary: callsOf(primary, marker).length,
  backup: callsOf(backup, marker).length,
});
