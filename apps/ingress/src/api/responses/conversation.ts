import { itemTexts, memberText, withoutMember } from '@millrace/shared/domain/json-text';
import { ApiError, apiError } from '../../api-error.ts';
import type { Resolved, ResolveContext } from '../port.ts';
import { wrongType } from '../json-body.ts';
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
  const earlier = await itemsOf(id, context);
  const own = inputItems(memberText(context.text, 'input') ?? '[]');
  const input = `[${[...earlier, ...own].join(',')}]`;
  if (Buffer.byteLength(input) > context.services.config.limits.requestBodyBytes) {
    throw apiError('request_too_large');
  }
  return { members: { input, previous_response_id: 'null' }, echo: { previous_response_id: id } };
}

/** What was said up to the end of a response, as input items. */
async function itemsOf(id: string, context: ResolveContext): Promise<string[]> {
  const { services, principal, response } = context;
  try {
    const described = await findResponse(services, principal, id);
    const input = await storedInput(services, described);
    if (!input) throw apiError('previous_response_not_found', { id });
    const result = memberText(await services.jobViews.view(described, response), 'result');
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

/** Items with a content of their own, which no provider has to look up by their ids. */
const whole: ReadonlySet<unknown> = new Set([
  '"message"',
  '"reasoning"',
  '"function_call"',
  '"custom_tool_call"',
]);

/** An output item as an input item. Without its encrypted content, reasoning is of no use. */
function asInput(item: string): string[] {
  const type = memberText(item, 'type');
  if (!whole.has(type)) return [item];
  if (type === '"reasoning"' && !memberText(item, 'encrypted_content')?.startsWith('"')) return [];
  return [withoutMember(item, 'id')];
}
