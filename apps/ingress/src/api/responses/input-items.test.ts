import { describe, expect, it } from 'vitest';
import { inputPage } from './input-items.ts';

const texts = (...ids: (string | undefined)[]) =>
  ids.map((id, index) =>
    JSON.stringify({ type: 'message', role: 'user', content: `${index}`, id }),
  );

/** The contents of all pages. */
function readAll(items: readonly string[], order: 'asc' | 'desc', limit: number): string[] {
  const read: string[] = [];
  for (let after: string | undefined; read.length <= items.length;) {
    const page = inputPage('req_0_x', items, {
      order,
      limit: String(limit),
      ...(after && { after }),
    });
    read.push(...page.data.map(({ content }) => (content as { text: string }[])[0]?.text ?? ''));
    if (!page.has_more) return read;
    after = page.last_id ?? undefined;
  }
  return [...read, 'and so on'];
}

describe('the input items of a response', () => {
  const numbers = ['0', '1', '2', '3', '4'];
  it.each([
    ['without ids', texts(undefined, undefined, undefined, undefined, undefined)],
    ['with ids of the client', texts('a', 'b', undefined, 'd', 'e')],
  ])('%s are read in pages, in both orders', (_, items) => {
    for (const limit of [1, 2, 5, 100]) {
      expect(readAll(items, 'asc', limit)).toEqual(numbers);
      expect(readAll(items, 'desc', limit)).toEqual(numbers.toReversed());
    }
  });

  it('with one id for several of them come to an end', () => {
    for (const order of ['asc', 'desc'] as const) {
      expect(readAll(texts('a', 'b', 'a', 'a', 'c'), order, 1)).not.toContain('and so on');
    }
  });

  it('behind an id that is none of them are an error', () => {
    for (const after of ['x', 'msg_0_x_input_9', 'msg_0_x_input_']) {
      expect(() => inputPage('req_0_x', texts('a'), { after })).toThrow("Invalid 'after'");
    }
  });
});
