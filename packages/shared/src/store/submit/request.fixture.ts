import type { RequestMeta, QueueStanding } from '../../domain/request.ts';
import type { NewRequest, QueuedJob } from './port.ts';

const standing: QueueStanding = { priority: 'normal', key: '', weight: 1, bytes: 2 };

/** For tests: a request whose job follows from what it is. */
export function newRequest(
  meta: RequestMeta,
  { body = '{}', inbox, once, ...rest }: Partial<NewRequest & QueuedJob> = {},
): NewRequest {
  const { model, endpoint, stream, reader, attached, createdAt, deadlineAt } = meta;
  const known = { model, endpoint, stream, reader, attached, createdAt, deadlineAt };
  return { meta, body, inbox, once, job: { ...known, targets: [], standing, ...rest } };
}

/** The same where its queue is all that matters. */
export const newJob = (id: string, job: Partial<QueuedJob> = {}): NewRequest =>
  newRequest(
    {
      id,
      endpoint: '/v1/chat/completions',
      model: job.model ?? 'm',
      stream: true,
      reader: 'plain',
      includeUsage: false,
      attached: true,
      createdAt: Date.now(),
    },
    job,
  );
