import { expect, it } from 'vitest';
import { logSocketRequest } from './request-log.ts';

it.each([
  ['an identifier', 'context_length_exceeded', 'context_length_exceeded'],
  ['a number', '1301', '1301'],
  ['a text, which may be a part of the request', 'the words of the prompt', 'error'],
  ['long', 'x'.repeat(65), 'error'],
  ['no code', null, null],
])("a provider's code is logged if it is no text: %s", (_, code, logged) => {
  const lines: unknown[] = [];
  const log = { debug: () => {}, info: () => {}, warn: (line: unknown) => lines.push(line) };
  logSocketRequest(log, { path: '/v1/ws', frame: 'create', key: 'a', outcome: 'failed', code });
  expect(lines).toEqual([
    { path: '/v1/ws', frame: 'create', key: 'a', outcome: 'failed', code: logged },
  ]);
});
