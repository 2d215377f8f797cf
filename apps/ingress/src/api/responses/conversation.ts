import { EventEmitter } from 'node:events';
import { itemTexts, memberText, withoutMember } from '@millrace/shared/domain/json-text';
import type { Described } from '@millrace/shared/store/stream-log/port';
import { ApiError, apiError } from '../../api-error.ts';
import { requestBounds } from '../../server/json-shape.ts';
import { holdBytes } from '../../server/limits.ts';
import type { Resolved, ResolveContext } from '../port.ts';
import { checkShape, wrongType } from '../json-body.ts';
import { findResponse, inputItems, storedInput } from './stored-response.ts';

/**
 * The request that continues an earlier response (`previous_response_id`): its input is that response's input and output with
 * its own input behind. Instructions and tools are not taken over, as in OpenAI's API. No provider knows the id, because
 * responses are stored here.
 */
export async function continueResponse(
  body: Record<string, unknown>,
  context: ResolveContext,
): Promise<Resolved | undefined> {
  const { previous_response_id: id } = body;
  if (id === undefined || id === null) return undefined;
  if (typeof id !== 'string') throw wrongType('previous_response_id', 'a text', id);
  const { input: asked } = body;
  if (asked !== undefined && typeof asked !== 'string' && !Array.isArray(asked)) {
    throw wrongType('input', 'a text or an array', asked);
  }
  const { bodies, config } = context.services;
  const { limits } = config;
  if (bodies.held > limits.requestBodiesBytes) throw apiError('server_busy', { with: 'bodies' });
  const earlier = await itemsOf(id, context);
  const own = inputItems(memberText(context.text, 'input') ?? '[]');
  const input = `[${[...earlier, ...own].join(',')}]`;
  const bytes = Buffer.from(input);
  // The bounds of a body that arrives are those of one that is put together.
  if (bytes.length + context.text.length > limits.requestBodyBytes) {
    throw apiError('request_too_large');
  }
  checkShape(bytes, requestBounds(limits));
  return {
    members: { input, previous_response_id: 'null' },
    echo: { previous_response_id: id },
    release: holdBytes(bodies, bytes.length),
  };
}

/** What was said up to the end of a response, as input items. */
async function itemsOf(id: string, context: ResolveContext): Promise<string[]> {
  const { services, principal } = context;
  const remembered = context.remembered?.(id);
  if (remembered?.isWarmUp) return inputItems(remembered.input);
  try {
    const described = await findResponse(services, principal, id);
    // An admin sees the responses of all keys, and continues only its own.
    if (described.meta.keyId !== principal.keyId)
      throw apiError('previous_response_not_found', { id });
    const input = remembered
      ? inputItems(remembered.input)
      : await storedInput(services, described);
    if (!input) throw apiError('previous_response_not_found', { id });
    const result = memberText(await viewOf(described, context), 'result');
    if (result === undefined || result === 'null') {
      const message = `The response '${id}' has no complete output that could be continued.`;
      throw apiError('invalid_request', { message, param: 'previous_response_id' });
    }
    const output = [...itemTexts(memberText(result, 'output') ?? '[]')];
    return [...input, ...output.flatMap(asInput)];
  } catch (error) {
    const isUnknown = error instanceof ApiError && (error.status === 404 || error.status === 410);
    throw isUnknown ? apiError('previous_response_not_found', { id }) : error;
  }
}

/** The view of a response. What it counts as held is free again with the view, not with the end of the new answer. */
async function viewOf(described: Described, context: ResolveContext) {
  const client = Object.assign(new EventEmitter(), { destroyed: context.client.destroyed });
  const leave = () => {
    client.destroyed = true;
    client.emit('close');
  };
  context.client.once('close', leave);
  try {
    return await context.services.jobViews.view(described, client);
  } finally {
    context.client.off('close', leave);
    leave();
  }
}

/** Items with a content of their own, which no provider has to look up by their ids. */
const whole: ReadonlySet<unknown> = new Set([
  '"message"',
  '"reasoning"',
  '"function_call"',
  '"custom_tool_call"',
]);

/** An output item as an input item. Without its encrypted content, reasoning is of no use. */
function asInput(item: string): string[] {
  if (!item.startsWith('{')) return [];
  const type = memberText(item, 'type');
  if (!whole.has(type)) return [item];
  if (type === '"reasoning"' && !memberText(item, 'encrypted_content')?.startsWith('"')) return [];
  return [withoutMember(item, 'id')];
}
