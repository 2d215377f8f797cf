import fc from 'fast-check';
import { expect, it } from 'vitest';
import { estimateTokens, reasoningBeside, tokensIn, tokensInJson, tokensUsed } from './tokens.ts';

it('a request is estimated by its length and the longest answer that it allows', () => {
  const body = JSON.stringify({ max_tokens: 100, messages: [{ content: 'x'.repeat(4000) }] });
  expect(estimateTokens(body)).toBeGreaterThan(1100);
  expect(estimateTokens(body)).toBeLessThan(1130);
  const two = JSON.stringify({ n: 2, max_tokens: 7, max_completion_tokens: 100 });
  expect(estimateTokens(two)).toBe(Math.ceil(tokensInJson(two)) + 200);
  expect(estimateTokens('{"max_tokens":"lots"}')).toBe(6 + 500);
});

it('no number is larger than can be counted', () => {
  for (const most of ['1e19', '9e15', String(Number.MAX_SAFE_INTEGER)]) {
    expect(estimateTokens(`{"max_tokens":${most},"n":${most}}`)).toBe(1e12);
  }
  expect(tokensUsed({ total_tokens: 1e19, prompt_tokens: 3 })).toBe(3);
});

it('a picture counts as a picture, not as its letters', () => {
  const url = `data:image/png;base64,${'A'.repeat(1_000_000)}`;
  const body = JSON.stringify({
    messages: [{ content: [{ image_url: { url } }, { image_url: { url } }] }],
  });
  expect(estimateTokens(body)).toBeLessThan(3000);
  expect(estimateTokens(body)).toBeGreaterThan(2500);
});

it('what was used is read from a usage, whatever of it is there', () => {
  expect(tokensUsed({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 9 })).toBe(9);
  expect(tokensUsed({ prompt_tokens: 3, completion_tokens: 4 })).toBe(7);
  expect(tokensUsed({ completion_tokens: 0 })).toBe(0);
  for (const none of [undefined, null, 'x', {}, { total_tokens: '9' }]) {
    expect(tokensUsed(none)).toBeUndefined();
  }
});

it('reasoning is beside the completion only if the total says so', () => {
  const details = { completion_tokens_details: { reasoning_tokens: 40 } };
  const counts = { prompt_tokens: 10, completion_tokens: 50, ...details };
  expect(reasoningBeside({ ...counts, total_tokens: 100 })).toBe(40);
  expect(reasoningBeside({ ...counts, total_tokens: 60 })).toBe(0);
  for (const none of [undefined, 'x', {}, counts, { total_tokens: 60 }, { ...details }]) {
    expect(reasoningBeside(none)).toBe(0);
  }
});

/** Counted with OpenAI's own tokenizers: cl100k_base, o200k_base. */
const counted = [
  [
    'English',
    'The river turns the wheel, the wheel turns the stone, and the stone grinds the corn. In the evening the miller counts the sacks and writes the number into his book, because tomorrow the merchant comes from the town.',
    46,
    46,
  ],
  [
    'Chinese',
    '河水推动水轮，水轮带动磨石，磨石把谷物磨成面粉。傍晚，磨坊主清点麻袋，把数目写进账本，因为明天商人要从城里来。人工智能正在改变我们的生活方式和工作方式。',
    98,
    63,
  ],
  [
    'Japanese',
    '川の水が水車を回し、水車が石臼を回し、石臼が穀物を挽きます。夕方になると粉屋は袋を数え、その数を帳簿に書き込みます。',
    75,
    55,
  ],
  [
    'Korean',
    '강물이 물레방아를 돌리고, 물레방아가 맷돌을 돌리며, 맷돌이 곡식을 빻습니다. 저녁이 되면 방앗간 주인은 자루를 셉니다.',
    77,
    52,
  ],
  [
    'Russian',
    'Река вращает колесо, колесо вращает жернов, а жернов мелет зерно. Вечером мельник считает мешки и записывает число в книгу.',
    55,
    37,
  ],
  [
    'German',
    'Der Fluss dreht das Rad, das Rad dreht den Stein, und der Stein mahlt das Korn. Am Abend zählt der Müller die Säcke und schreibt die Zahl in sein Buch, weil morgen der Händler aus der Stadt kommt.',
    57,
    48,
  ],
  [
    'Arabic',
    'النهر يدير العجلة والعجلة تدير الحجر والحجر يطحن القمح. في المساء يعد الطحان الأكياس ويكتب العدد في دفتره.',
    71,
    36,
  ],
  ['Hindi', 'नदी पहिये को घुमाती है, पहिया पत्थर को घुमाता है, और पत्थर अनाज पीसता है।', 68, 32],
  ['emoji', '😀🎉🚀👍🏽👨‍👩‍👧‍👦❤️🔥✨🙏', 43, 23],
  ['digits', '3.14159265358979323846264338327950288419716939937510582097494459', 23, 23],
] as const;

it.each(counted)(
  'an estimate of %s text is within a factor of 1.75 of both tokenizers',
  (_, text, cl, o200) => {
    for (const real of [cl, o200]) {
      expect(tokensIn(text)).toBeGreaterThan(real / 1.75);
      expect(tokensIn(text)).toBeLessThan(real * 1.75);
    }
  },
);

it('an estimate is the sum of its parts, wherever a text is cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(), (text, at) => {
      const cut = at % (text.length + 1);
      expect(tokensIn(text.slice(0, cut)) + tokensIn(text.slice(cut))).toBe(tokensIn(text));
    }),
  );
});

it('a text in JSON counts the same however its characters are escaped', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '7', '河', 'ж', '😀', 'é') }), (text) => {
      const ascii = text
        .split('')
        .map((unit) =>
          unit < '\u0080' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
        )
        .join('');
      expect(tokensInJson(JSON.stringify(text))).toBe(tokensIn(text) + 0.5);
      expect(tokensInJson(`"${ascii}"`)).toBe(tokensIn(text) + 0.5);
    }),
  );
});

it('a request that generates no text is estimated by its input alone', () => {
  for (const body of ['{"input":["a","b"]}', '{"query":"a","documents":["b"]}']) {
    expect(estimateTokens(body)).toBe(Math.ceil(tokensInJson(body)));
  }
});
