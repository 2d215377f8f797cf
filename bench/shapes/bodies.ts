/* Request bodies of one size and every shape of JSON. */

export const SHAPES = [
  'one string',
  'escapes',
  'escaped quotes',
  'Chinese',
  'one number',
  'white space',
  'messages',
  'numbers',
  'arrays',
  'depth',
  'keys',
] as const;
export type Shape = (typeof SHAPES)[number];

const message = { role: 'user', content: 'Some words that somebody wrote before. '.repeat(16) };

/** A chat completion request of about `bytes` bytes, most of them in `x` or in its messages. */
export function bodyOf(shape: Shape, model: string, bytes: number): string {
  const fill = (piece: string) => piece.repeat(bytes / Buffer.byteLength(piece));
  const around = (value: string) =>
    `{"model":"${model}","stream":true,"messages":[{"role":"user","content":"Hi"}],"x":${value}}`;
  switch (shape) {
    case 'one string':
      return around(`"${fill('a')}"`);
    case 'escapes':
      return around(`"${fill('\\n')}"`);
    case 'escaped quotes':
      return around(`"${fill('\\"')}"`);
    case 'Chinese':
      return around(`"${fill('漢')}"`);
    case 'one number':
      return around(fill('1'));
    case 'white space':
      return around(`${fill(' ')}1`);
    case 'messages': {
      const one = JSON.stringify(message);
      return `{"model":"${model}","stream":true,"messages":[${fill(`${one},`)}${one}]}`;
    }
    case 'numbers':
      return around(`[${fill('1,')}1]`);
    case 'arrays':
      return around(`[${fill('[],')}[]]`);
    case 'depth':
      return around(`${'['.repeat(bytes / 2)}${']'.repeat(bytes / 2)}`);
    case 'keys':
      return around(
        `{${Array.from({ length: bytes / 12 }, (_, i) => `"k${String(i).padStart(7, '0')}":1`).join(',')}}`,
      );
  }
}
