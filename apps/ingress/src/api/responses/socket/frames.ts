import { memberText, setMembers, withoutMember } from '@millrace/shared/domain/json-text';
import { apiError, withRequestId } from '../../../api-error.ts';
import type { ApiError } from '../../../api-error.ts';
import { wrongType } from '../../json-body.ts';
import type { Frame } from '../../websocket/frames.ts';

/* The frames of OpenAI's WebSocket mode: a client sends `response.create`, and gets the events of a stream as messages. */

/** Characters of the name of a lane. */
const longestLane = 200;

/** The lane of frames without a `stream_id`. */
export const unnamedLane = '';

/** The lane of a frame. Throws an ApiError. */
export function laneOf({ stream_id: lane }: Frame): string {
  if (lane === undefined || lane === null) return unnamedLane;
  if (typeof lane !== 'string' || lane === '') throw wrongType('stream_id', 'a text', lane);
  if (lane.length > longestLane) {
    const message = `'stream_id' is longer than ${longestLane} characters.`;
    throw apiError('invalid_request', { message, param: 'stream_id' });
  }
  return lane;
}

/** Members of a frame that are none of a request. */
const ofFrame = ['type', 'stream_id', 'generate', 'background', 'stream'];

export type Turn = {
  /** The body of a request to `POST /v1/responses` that streams. */
  text: string;
  body: Record<string, unknown>;
  /** False: the client wants an id that it can continue, and no answer. */
  generate: boolean;
};

/** Reads a `response.create` frame with this text. Throws an ApiError. */
export function readTurn(frame: Frame, text: string): Turn {
  const { type, generate = true, background } = frame;
  if (type !== 'response.create') {
    const frameType = JSON.stringify(type ?? null).slice(0, 100);
    throw apiError('unknown_frame_type', { frameType, expected: 'response.create' });
  }
  if (typeof generate !== 'boolean') throw wrongType('generate', 'a boolean', generate);
  if (background === true) {
    const message = "'background' is not possible on a WebSocket.";
    throw apiError('invalid_request', { message, param: 'background' });
  }
  const body = { ...frame, stream: true };
  let own = text;
  for (const name of ofFrame) {
    if (memberText(own, name) !== undefined) own = withoutMember(own, name);
    if (name !== 'stream') delete (body as Frame)[name];
  }
  return { text: setMembers(own, { stream: 'true' }), body, generate };
}

/** An event of a response, as the message of its lane. `data`: a JSON object. */
export const laneMessage = (lane: string, data: string): string =>
  lane === unnamedLane ? data : `{"stream_id":${JSON.stringify(lane)},${data.slice(1)}`;

/** An error that is no event of a response. Its status and its headers are those that the same request gets over HTTP. */
export function errorMessage(lane: string, answer: ApiError, id: string): string {
  const { status, headers, error } = answer;
  const sent = Object.keys(headers).length > 0 ? { headers } : {};
  const data = { type: 'error', status, error: withRequestId(error, id), ...sent };
  return laneMessage(lane, JSON.stringify(data));
}
