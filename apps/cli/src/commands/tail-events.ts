import { oneLine } from '../output/table.ts';

/** An event of `GET /v1/jobs/{id}/events`. */
export type TailEvent = { event: string; id: string | undefined; data: string };

type Choice = { index?: number; delta?: Message; message?: Message };
type Message = { content?: string | null; refusal?: string | null };

/** The visible text of the first choice, of a streamed chunk or of a whole answer. */
export function textOf(data: string): string {
  const { choices = [] } = JSON.parse(data) as { choices?: Choice[] };
  const first = choices.find(({ index = 0 }) => index === 0);
  const message = first?.delta ?? first?.message;
  return message?.content ?? message?.refusal ?? '';
}

type EventData = {
  position?: number;
  run?: number;
  attempt?: number;
  provider?: string;
  model?: string;
  mode?: string;
  reason?: string;
  finish_reason?: string;
  attempts?: number;
  usage?: { completion_tokens?: number };
  error?: { code?: string | null; message?: string };
};

/** An event other than a chunk, in one line. */
export function describeEvent({ event, data: text }: TailEvent): string {
  const data = JSON.parse(text) as EventData;
  return oneLine(describe(event, data));
}

function describe(event: string, data: EventData): string {
  const { error } = data;
  switch (event) {
    case 'queued':
      return `queued: ${data.position ?? '?'} before it`;
    case 'attempt':
      return `attempt ${data.attempt ?? '?'} of run ${data.run ?? '?'}: ${data.mode ?? 'start'} at ${data.provider ?? '?'}/${data.model ?? '?'}`;
    case 'reset':
      return `reset (${data.reason ?? '?'}): what was shown is void, the answer starts anew`;
    case 'moved':
      return 'the ingress is stopping: reading on at another one';
    case 'done': {
      const tokens = data.usage?.completion_tokens;
      const counted = tokens === undefined ? '' : `, ${tokens} tokens`;
      return `completed: ${data.finish_reason ?? 'stop'}${counted}, ${data.attempts ?? 1} attempts`;
    }
    case 'failed':
    case 'error':
      return `${event}: ${error?.code ?? ''} ${error?.message ?? ''}`.replace('  ', ' ').trimEnd();
    default:
      return event;
  }
}
