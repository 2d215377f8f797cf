import { decodeEntry } from '@millrace/shared/domain/entry';
import type { Line, Result } from '@millrace/shared/domain/entry';
import { fromFailed } from '../api-error.ts';
import { endWhenStalled } from '../delivery/stalled-answers.ts';
import type { AnswerContext, AnswerWriter } from './answer.ts';
import { noteAttempt, readFailed } from './progress.ts';

/** An answer in one piece. Nothing of it is sent before its end, so it can be restarted. */
export function wholeAnswer({ call, progress, head, sendError }: AnswerContext): AnswerWriter {
  const { api, reply, services, facts } = call;
  const response = reply.raw;
  let result: Result | undefined;

  function send(completedAt: number): void {
    const complete = { ...facts, completedAt };
    const { contentType, body } = api.encodeWhole(result ?? emptyResult, complete);
    const own = api.bytesOf?.(body);
    response.writeHead(200, {
      'content-type': own?.contentType ?? contentType,
      'content-length': own?.bytes.length ?? Buffer.byteLength(body),
      ...(own && { 'x-content-type-options': 'nosniff' }),
      ...head(),
    });
    response.end(own?.bytes ?? body);
    result = undefined;
    endWhenStalled(response, services.config.limits.readerStallMs);
  }

  return {
    lines(batch: readonly Line[]): boolean {
      for (const line of batch) {
        const entry = decodeEntry(line.text);
        if (entry.kind === 'result') result = entry.data;
        else if (entry.kind === 'done') send(entry.data.at);
        else if (entry.kind === 'failed' || entry.kind === 'cancelled') {
          sendError(fromFailed(readFailed(line)));
        } else noteAttempt(progress, line, services.prices);
      }
      return true;
    },
    reset() {
      result = undefined;
      return 'again';
    },
    fail: sendError,
    held: () => (result ? sizeOf(result) : 0) + response.writableLength,
  };
}

const sizeOf = ({ body, native = '' }: Result): number => body.length + native.length;

const emptyResult: Result = { contentType: 'application/json', body: '{}' };
