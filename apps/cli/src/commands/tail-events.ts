import { isJsonObject } from '@millrace/shared/domain/json';
import { CommandFailed } from '../io.ts';
import { plural } from '../output/format.ts';
import { oneLine } from '../output/table.ts';

/** An event of `GET /v1/jobs/{id}/events`. */
export type TailEvent = { event: string; id: string | undefined; data: string };

/** The data of an event. Throws CommandFailed if no ingress can have sent it. */
export function readData(data: string): object {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    // As below.
  }
  if (isJsonObject(value)) return value;
  throw new CommandFailed('an event is no JSON object: is it an ingress?');
}

type Choice = { index?: number; delta?: Message; message?: Message };
type Message = { content?: string | null; refusal?: string | null };

/** The visible text of the first choice, of a streamed chunk or of a whole answer. */
export function textOf(data: string): string {
  const { choices } = readData(data) as { choices?: Choice[] | null };
  const first = choices?.find(({ index = 0 }) => index === 0);
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
  const data = readData(text) as EventData;
  return oneLine(describe(event, data));
}

/** The code of an error that ended a connection. */
export const codeOf = (data: string): string | null | undefined =>
  (readData(data) as EventData).error?.code;

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
      return `completed: ${data.finish_reason ?? 'stop'}${counted}, ${plural(data.attempts ?? 1, 'attempt')}`;
    }
    case 'failed':
    case 'error':
      return `${event}: ${error?.code ?? ''} ${error?.message ?? ''}`.replace('  ', ' ').trimEnd();
    default:
      return event;
  }
}
