import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { curlOf, quoted } from './curl.ts';

const request = { api: '/v1/chat/completions', model: 'm', stream: true, key: null };
const origin = 'http://127.0.0.1:8080';

/** The words that a shell gives the command. */
const wordsOf = (command) =>
  execFileSync('sh', ['-c', `curl() { printf '%s\\0' "$@"; }\n${command}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

test('is a command that says what is known of a request', () => {
  const { text, notes } = curlOf(request, origin, []);
  const words = wordsOf(text);
  expect(words.slice(0, 4)).toEqual([
    '-N',
    'http://127.0.0.1:8080/v1/chat/completions',
    '-H',
    'content-type: application/json',
  ]);
  expect(JSON.parse(words.at(-1) ?? '')).toEqual({
    model: 'm',
    stream: true,
    messages: [{ role: 'user', content: 'PUT YOUR MESSAGE HERE' }],
  });
  expect(notes[0]).toContain('no bodies');
});

test('has a placeholder in place of a key', () => {
  const { text, notes } = curlOf({ ...request, key: 'team-a' }, origin, []);
  expect(text).toContain('-H "authorization: Bearer $MILLRACE_API_KEY"');
  expect(notes.at(-1)).toContain('team-a');
});

test('has the body of the debug log, with the model that the client asked for', () => {
  const call = (at, content, path = '/v1/chat/completions') => ({
    started_at: at,
    sent: { path, body: JSON.stringify({ model: 'target', messages: [{ content }], n: 2 }) },
  });
  const { text } = curlOf(request, origin, [call(2, 'later'), call(1, "it's")]);
  expect(JSON.parse(wordsOf(text).at(-1) ?? '')).toEqual({
    model: 'm',
    stream: true,
    messages: [{ content: "it's" }],
    n: 2,
  });
  expect(curlOf(request, origin, [call(1, 'x', '/v1/messages')]).text).toContain('PUT YOUR');
  const cut = { started_at: 1, sent: { path: '/chat/completions', body: '{"mess' } };
  expect(curlOf(request, origin, [cut]).text).toContain('PUT YOUR');
});

test.each([`'; rm -rf ~ #`, '$(id)', '`id`', 'a\nb', '"', '\\', '<script>'])(
  'passes the model name %j as it is, and runs none of it',
  (model) => {
    const words = wordsOf(curlOf({ ...request, model }, origin, []).text);
    expect(words).toHaveLength(6);
    expect(JSON.parse(words.at(-1) ?? '')).toMatchObject({ model });
    expect(wordsOf(`curl ${quoted(model)}`)).toEqual([model]);
  },
);
