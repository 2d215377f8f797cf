import type { ProviderConfig } from '@millrace/shared/config';
import { readJsonObject } from '@millrace/shared/domain/json';

/* Simulated providers (apps/simulator), as far as they let operators break off their answers. */

/** An answer that was broken off. `request`: null if its worker does not name its requests. */
type Answer = { request: string | null; model: string };

/** Milliseconds that a provider has to carry out an order. */
const patienceMs = 3000;

/** The header that only simulated providers send. */
const simulatedHeader = 'x-simulated-provider';

/**
 * Where the simulated ones of these providers listen, each place once: one simulator can be several providers. All others are no
 * business of an operator's order, and are not asked.
 */
export function originsOf(
  providers: Readonly<Record<string, Pick<ProviderConfig, 'baseUrl' | 'simulated'>>>,
  only: string | undefined,
): { origin: string; name: string }[] {
  const byOrigin = new Map<string, string>();
  for (const [name, { baseUrl, simulated }] of Object.entries(providers)) {
    if (!simulated) continue;
    const { origin } = new URL(baseUrl);
    if ((only === undefined || name === only) && !byOrigin.has(origin)) byOrigin.set(origin, name);
  }
  return [...byOrigin].map(([origin, name]) => ({ origin, name }));
}

/** `answers` is undefined if what listens there is no simulator; `error`: it did not answer. */
export async function disturb(
  origin: string,
  order: { action: string; request?: string },
): Promise<{ answers?: Answer[]; error?: unknown }> {
  try {
    const answer = await fetch(`${origin}/__chaos`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
      redirect: 'manual',
      signal: AbortSignal.timeout(patienceMs),
    });
    if (!answer.ok || !answer.headers.has(simulatedHeader)) {
      await answer.body?.cancel();
      return {};
    }
    const answers = readJsonObject(await answer.text())?.['answers'];
    return { answers: Array.isArray(answers) ? answers.map(readAnswer) : [] };
  } catch (error) {
    return { error };
  }
}

function readAnswer(value: unknown): Answer {
  const { request, model } = (value ?? {}) as Record<string, unknown>;
  return {
    request: typeof request === 'string' ? request : null,
    model: typeof model === 'string' ? model : '',
  };
}
