import type { JobBody } from './job-stream.ts';

/* What the operator composes, and the request that it becomes. */

export type Message = { role: 'system' | 'user' | 'assistant'; content: string };

/** Numbers are texts as the operator types them; empty: the provider's default. */
export type Draft = { messages: readonly Message[]; maxTokens: string; temperature: string };

/** Messages of one conversation. */
export const maxMessages = 100;

export const firstDraft: Draft = {
  messages: [
    {
      role: 'user',
      content: 'Tell the story of a water mill whose miller is never seen, in about 300 words.',
    },
  ],
  maxTokens: '',
  temperature: '',
};

/** Models of a start without a config that answer long enough to break something, the best first. */
const goodModels = ['simulated-long', 'simulated'];

/** The wanted model if there is one, or a good one to begin with. Empty: there is none. */
export function chooseModel(names: readonly string[], wanted: string): string {
  if (wanted !== '' && (names.length === 0 || names.includes(wanted))) return wanted;
  return goodModels.find((name) => names.includes(name)) ?? names[0] ?? '';
}

/** Messages without a text are left out; a field that is no number is left out, too. */
export function toBody({ messages, maxTokens, temperature }: Draft, model: string): JobBody {
  const most = numberOf(maxTokens);
  const heat = numberOf(temperature);
  return {
    model,
    messages: messages.filter(({ content }) => content.trim() !== ''),
    ...(most === undefined ? {} : { max_tokens: Math.round(most) }),
    ...(heat === undefined ? {} : { temperature: heat }),
  };
}

function numberOf(text: string): number | undefined {
  const value = Number(text);
  return text.trim() === '' || !Number.isFinite(value) ? undefined : value;
}
