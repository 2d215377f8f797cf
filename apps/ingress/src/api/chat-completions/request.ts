import { isJsonObject } from '@millrace/shared/domain/json';
import { refuse } from '../../errors.ts';
import type { Refused } from '../../errors.ts';
import { refuseType } from '../json-body.ts';
import type { ParsedBody } from '../port.ts';

/** A refusal names the field that is missing or of the wrong type. */
export function parseChatRequest(body: Record<string, unknown>): ParsedBody | Refused {
  const { model, messages, stream, stream_options: streamOptions } = body;
  if (model === undefined || model === '') {
    return refuse('invalid_request', {
      message: 'You must provide a model parameter.',
      param: 'model',
    });
  }
  if (typeof model !== 'string') return refuseType('model', 'a string', model);
  if (!Array.isArray(messages)) return refuseType('messages', 'an array of objects', messages);
  if (messages.length === 0) return refuse('empty_array', { param: 'messages' });
  const odd = messages.findIndex((message) => !isJsonObject(message));
  if (odd >= 0) return refuseType(`messages[${odd}]`, 'an object', messages[odd]);
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    return refuseType('stream', 'a boolean', stream);
  }
  if (streamOptions !== undefined && streamOptions !== null && !isJsonObject(streamOptions)) {
    return refuseType('stream_options', 'an object', streamOptions);
  }
  if (streamOptions && stream !== true) {
    return refuse('invalid_request', {
      message: "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
      param: 'stream_options',
    });
  }
  return {
    kind: 'parsed',
    model,
    stream: stream === true,
    includeUsage: isJsonObject(streamOptions) && streamOptions['include_usage'] === true,
  };
}
