import { describe, expect, it } from 'vitest';
import { expectTokens, FrameChecker, tokensOf, type Verdict } from './frames.ts';

const TOKENS = ['one ', 'two "quoted" ', 'drei größer ', 'four\n'];

function chunk(delta: object, finish: string | null = null): string {
  return `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}

const ROLE = chunk({ role: 'assistant', content: '' });
const FINISH = chunk({}, 'stop');
const DONE = 'data: [DONE]\n\n';
const words = (tokens: string[]): string[] => tokens.map((content) => chunk({ content }));
const whole = (tokens: string[] = TOKENS): string =>
  [ROLE, ...words(tokens), FINISH, DONE].join('');

function check(answer: string, size = Number.POSITIVE_INFINITY): Verdict & { tokens: number } {
  let tokens = 0;
  const checker = new FrameChecker(expectTokens(TOKENS), () => tokens++);
  const bytes = Buffer.from(answer);
  for (let at = 0; at < bytes.length; at += size) checker.push(bytes.subarray(at, at + size), 0);
  return { ...checker.verdict(), tokens };
}

describe('the frame checker', () => {
  it.each([1, 2, 3, 7, 64, 1e6])(
    'finds a whole answer right when it comes %i bytes at a time',
    (size) => {
      expect(check(whole(), size)).toEqual({ lost: 0, tokens: TOKENS.length });
    },
  );

  it('takes ids, comments, carriage returns and another spacing of the JSON as they come', () => {
    const spaced = whole().replaceAll('":', '": ').replaceAll('\n\n', '\r\n\r\n');
    expect(check(`: hello\n\n${spaced.replaceAll('data:', 'id: 1-2\ndata:')}`)).toEqual({
      lost: 0,
      tokens: TOKENS.length,
    });
  });

  it('takes a role that comes along with the first token', () => {
    const [first = '', ...rest] = TOKENS;
    const merged = chunk({ role: 'assistant', content: first });
    expect(check([merged, ...words(rest), FINISH, DONE].join(''))).toMatchObject({ lost: 0 });
  });

  it.each([
    ['a lost token', [ROLE, ...words(['one ', 'drei größer ', 'four\n']), FINISH, DONE], /token 1/],
    [
      'a repeated token',
      [ROLE, ...words(['one ', 'one ', ...TOKENS.slice(1)]), FINISH, DONE],
      /token 1/,
    ],
    [
      'two tokens that changed places',
      [ROLE, ...words([TOKENS[1]!, TOKENS[0]!, ...TOKENS.slice(2)]), FINISH, DONE],
      /token 0/,
    ],
    ['a token too many', [ROLE, ...words([...TOKENS, 'five ']), FINISH, DONE], /token 4/],
    ['no role', [...words(TOKENS), FINISH, DONE], /ended after/],
    ['a second role', [ROLE, ROLE, ...words(TOKENS), FINISH, DONE], /second role/],
    ['no finish', [ROLE, ...words(TOKENS), DONE], /ended after/],
    ['no [DONE]', [ROLE, ...words(TOKENS), FINISH], /ended after 4 of 4/],
    ['a frame after [DONE]', [whole(), FINISH], /after \[DONE\]/],
    [
      'a token after finish',
      [ROLE, ...words(TOKENS), FINISH, chunk({ content: 'x' }), DONE],
      /after finish/,
    ],
    ['an end in mid-line', [whole(), 'data: {"cho'], /mid-line/],
    [
      'an error frame',
      [ROLE, 'data: {"error":{"message":"upstream went away"}}\n\n'],
      /upstream went away/,
    ],
    ['an event name', [ROLE, 'event: chunk\n', ...words(TOKENS), FINISH, DONE], /unexpected line/],
    [
      'usage that nobody asked for',
      [ROLE, ...words(TOKENS), FINISH, 'data: {"choices":[]}\n\n', DONE],
      /without a choice/,
    ],
    ['what is not JSON', [ROLE, 'data: {oops\n\n', ...words(TOKENS), FINISH, DONE], /not JSON/],
    ['nothing at all', [], /ended after 0 of 4/],
  ])('finds %s', (_what, frames, fault) => {
    expect(check(frames.join('')).fault).toMatch(fault);
  });

  it('counts every frame that was due and did not come', () => {
    const rest = [FINISH, DONE].join('');
    expect(check(ROLE + words(['one ', 'four\n']).join('') + rest)).toMatchObject({
      lost: 2,
      tokens: 2,
    });
    expect(check(ROLE + words(['one ', 'one ', ...TOKENS.slice(1)]).join('') + rest).lost).toBe(0);
    expect(check('').lost).toBe(TOKENS.length + 3);
    expect(check([ROLE, ...words(TOKENS.slice(0, 1))].join('')).lost).toBe(TOKENS.length - 1 + 2);
  });
});

describe('the reference answer', () => {
  it('is the list of its tokens', () => {
    expect(tokensOf(whole())).toEqual(TOKENS);
  });

  it('is refused where a lost token could not be told', () => {
    expect(() => tokensOf(whole(['a', 'b', 'b', 'c']))).toThrow(/tokens 1 and 2 are equal/);
    expect(() => tokensOf(whole([]))).toThrow(/no tokens/);
    expect(() => tokensOf(ROLE)).toThrow(/no \[DONE\]/);
  });
});
