import { expect, test } from 'vitest';
import { maxFields, readForm, writeForm } from './form.ts';

const read = (bytes: Buffer | string, contentType = 'multipart/form-data; boundary=x') => {
  const text = readForm(Buffer.from(bytes as string), contentType);
  return text === undefined ? undefined : (JSON.parse(text) as object);
};
const part = (head: string, content = '') => `--x\r\n${head}\r\n\r\n${content}\r\n`;
const field = (name: string, content = '') =>
  part(`Content-Disposition: form-data; name="${name}"`, content);
const end = '--x--\r\n';
/** All bytes, and what resembles a boundary. */
const bytes = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
  Buffer.from('\r\n--\r\n--y\r\n\r\n'),
]);

test('a form has its texts and its files, as Node writes it', async () => {
  const form = new FormData();
  form.set('model', 'whisper-1');
  form.set('__proto__', 'é\n"');
  form.append('image[]', new File([bytes], 'a "b" ü.png', { type: 'image/png' }));
  form.append('image[]', new Blob([]));
  const response = new Response(form);
  const contentType = response.headers.get('content-type') ?? '';
  const text = readForm(Buffer.from(await response.arrayBuffer()), contentType) ?? '';
  expect(Object.entries(JSON.parse(text) as object)).toEqual([
    ['model', 'whisper-1'],
    ['__proto__', 'é\r\n"'],
    [
      'image[]',
      [
        { filename: 'a "b" ü.png', data: `data:image/png;base64,${bytes.toString('base64')}` },
        { filename: 'blob', data: 'data:application/octet-stream;base64,' },
      ],
    ],
  ]);
});

test('a body is written as a form that Node reads', async () => {
  const file = {
    filename: 'a "b" ü.png',
    data: `data:image/png;base64,${bytes.toString('base64')}`,
  };
  const written = writeForm(
    { model: 'm', n: 2, list: ['a', 'b'], none: null, chunking: { type: 'auto' }, image: file },
    'a-boundary',
  );
  const contentType = 'multipart/form-data; boundary=a-boundary';
  const form = await new Response(new Uint8Array(written), {
    headers: { 'content-type': contentType },
  }).formData();
  expect([...form.keys()]).toEqual(['model', 'n', 'list', 'list', 'chunking', 'image']);
  expect(form.getAll('list')).toEqual(['a', 'b']);
  expect(form.get('chunking')).toBe('{"type":"auto"}');
  const image = form.get('image') as File;
  expect([image.name, image.type]).toEqual([file.filename, 'image/png']);
  expect(Buffer.from(await image.arrayBuffer()).equals(bytes)).toBe(true);
  expect(read(written, contentType)).toMatchObject({ model: 'm', n: '2', image: file });
});

test.each([
  ['a preamble and an epilogue', `hello\r\n${field('a', '1')}${end}bye`, { a: '1' }],
  ['spaces behind a boundary', field('a', '1').replace('--x', '--x \t') + end, { a: '1' }],
  [
    'no content and one line',
    `--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n${end}`,
    { a: '' },
  ],
  ['a name without quotes', part('content-disposition:form-data;name=a', '1') + end, { a: '1' }],
  ['quotes as curl writes them', field('a\\"b', '1') + end, { 'a"b': '1' }],
  [
    'a name of RFC 5987',
    part(`Content-Disposition: form-data; name="a"; filename*=UTF-8''%C3%BC.mp3`, 'hi') + end,
    { a: { filename: 'ü.mp3', data: 'data:application/octet-stream;base64,aGk=' } },
  ],
  ['no field', end, {}],
])('a form may have %s', (_what, text, expected) => {
  expect(read(text)).toEqual(expected);
});

test.each([
  ['nothing', ''],
  ['no boundary', 'hello'],
  ['no end', field('a', '1')],
  ['a part without headers', `--x\r\n\r\n${end}`],
  ['a part without a name', part('Content-Disposition: form-data', '1') + end],
  ['another boundary', field('a', '1').replace('--x', '--xy') + end],
  ['no empty line', '--x\r\nContent-Disposition: form-data; name="a"'],
  ['a long head', part(`x: ${'x'.repeat(9000)}`) + end],
  ['too many fields', field('a').repeat(maxFields + 1) + end],
])('what has %s is no form', (_what, text) => {
  expect(read(text)).toBeUndefined();
});

test('a text that is no UTF-8, and a header without a boundary, are no form', () => {
  expect(
    read(Buffer.concat([Buffer.from(field('a').slice(0, -2)), bytes, Buffer.from(`\r\n${end}`)])),
  ).toBeUndefined();
  for (const type of [
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary="',
  ]) {
    expect(read(field('a', '1') + end, type)).toBeUndefined();
  }
});
