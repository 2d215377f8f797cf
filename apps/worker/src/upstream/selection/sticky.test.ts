import { describe, expect, it } from 'vitest';
import { conversationStart, rendezvous, stickyText, stickyValue } from './sticky.ts';

describe('the sticky value', () => {
  it.each([
    ['{"user":"u1","messages":[{"user":"no"}]}', 'user', '"u1"'],
    ['{"metadata": {"a":1, "session" : "s 7"}}', 'metadata.session', '"s 7"'],
    ['{"seed":12345678901234567890}', 'seed', '12345678901234567890'],
    ['{"store":false}', 'store', 'false'],
    ['{"messages":[]}', 'user', undefined],
    ['{"user":null}', 'user', undefined],
    ['{"user":""}', 'user', undefined],
    ['{"user":{"id":1}}', 'user', undefined],
    ['{"user":["a"]}', 'user', undefined],
    ['{"metadata":"text"}', 'metadata.session', undefined],
    ['{"metadata":[{"session":1}]}', 'metadata.session', undefined],
    ['{"metadata":{}}', 'metadata.session.id', undefined],
  ])('of %s at %s is %s', (body, path, value) => {
    expect(stickyValue(body, path)).toBe(value);
  });
});

describe('rendezvous hashing', () => {
  const target = (model: string, weight = 1) => ({ provider: 'p', model, weight });
  const three = [target('a'), target('b'), target('c')];
  const values = Array.from({ length: 3000 }, (_, index) => `"user-${index}"`);
  const owners = (targets: ReturnType<typeof target>[]) =>
    values.map((value) => rendezvous(targets, value)[0]?.model);

  it('finds the same order for the same value, however the targets are listed', () => {
    for (const value of values.slice(0, 100)) {
      expect(rendezvous(three.toReversed(), value)).toEqual(rendezvous(three, value));
    }
  });

  it('moves only the share of a target that is lost', () => {
    const before = owners(three);
    const after = owners(three.filter(({ model }) => model !== 'b'));
    const moved = before.filter((owner, index) => owner !== after[index]);
    expect(new Set(moved)).toEqual(new Set(['b']));
    expect(moved.length).toBe(before.filter((owner) => owner === 'b').length);
  });

  it('gives each target its weight', () => {
    const of = owners([target('a', 3), target('b', 1)]).filter((owner) => owner === 'a').length;
    expect(of / values.length).toBeGreaterThan(0.72);
    expect(of / values.length).toBeLessThan(0.78);
  });
});

const body = (messages: unknown) => JSON.stringify({ model: 'm', messages });
const system = { role: 'system', content: 'Be brief.' };
const asked = { role: 'user', content: 'How are you?' };

describe('the beginning of a conversation', () => {
  const first = conversationStart(body([system, asked]));

  it('stays the same while the conversation grows', () => {
    const grown = [
      system,
      asked,
      { role: 'assistant', content: 'Well.' },
      { ...asked, content: 'Oh' },
    ];
    expect(first).toBeDefined();
    expect(conversationStart(body(grown))).toBe(first);
    expect(stickyText(body(grown), 'prefix')).toBe(first);
  });

  it('is that of the same texts in parts, with or without marks for caches', () => {
    const parts = [{ type: 'text', text: asked.content, cache_control: { type: 'ephemeral' } }];
    const marked = [
      { ...system, name: 'x' },
      { ...asked, content: parts },
    ];
    expect(conversationStart(body(marked))).toBe(first);
  });

  it('differs between conversations', () => {
    const others = [
      [asked],
      [{ ...system, content: 'Be long.' }, asked],
      [system, { ...asked, content: 'Who are you?' }],
      [system, { ...asked, content: [{ type: 'image_url', image_url: { url: 'data:,1' } }] }],
    ];
    const starts = others.map((messages) => conversationStart(body(messages)));
    expect(new Set([first, ...starts]).size).toBe(5);
  });

  it.each([
    ['{}', undefined],
    ['{"messages":[]}', undefined],
    ['{"messages":"hi"}', undefined],
    ['{"messages":[5]}', '5'],
  ])('of %s is %s', (text, start) => {
    expect(conversationStart(text)).toBe(start);
  });

  it('is bounded, also of a message that is not worth parsing', () => {
    const long = { ...asked, content: 'x'.repeat(1_000_000) };
    const start = conversationStart(body([system, long, asked]));
    expect(start).toHaveLength(64 * 1024);
    expect(conversationStart(body([system, long, asked, asked]))).toBe(start);
  });
});

describe('conversations over three targets with prompt caches', () => {
  const targets = ['a', 'b', 'c'].map((model) => ({ provider: 'p', model, weight: 1 }));
  const turns = 6;

  /** The share of later turns that find their conversation cached. `isDown`: whether `b` is, at this turn. */
  function hitRate(
    choose: (open: typeof targets, text: string) => string,
    isDown = (_turn: number) => false,
  ) {
    const cached = new Set<string>();
    let hits = 0;
    const conversations = Array.from({ length: 200 }, (_, number) => [
      system,
      { ...asked, content: `Question ${number}` },
    ]);
    for (let turn = 0; turn < turns; turn++) {
      const open = targets.filter(({ model }) => model !== 'b' || !isDown(turn));
      for (const [number, messages] of conversations.entries()) {
        const at = `${choose(open, body(messages))} ${number}`;
        if (turn > 0 && cached.has(at)) hits += 1;
        cached.add(at);
        messages.push({ role: 'assistant', content: `Answer ${turn}` }, asked);
      }
    }
    return hits / (conversations.length * (turns - 1));
  }
  const byPrefix = (open: typeof targets, text: string) =>
    rendezvous(open, stickyText(text, 'prefix') ?? '')[0]?.model ?? '';
  const owned = (model: string) =>
    Array.from({ length: 200 }, (_, number) =>
      byPrefix(targets, body([system, { ...asked, content: `Question ${number}` }])),
    ).filter((one) => one === model).length / 200;
  let turn = 0;
  const inTurn = (open: typeof targets) => open[turn++ % open.length]?.model ?? '';

  it('find each later turn cached, where round-robin finds less than half of them', () => {
    expect(hitRate(byPrefix)).toBe(1);
    expect(hitRate(inTurn)).toBeLessThan(0.75);
  });

  it('miss once at a failover, and are at home again after it', () => {
    const rate = hitRate(byPrefix, (at) => at === 2 || at === 3);
    // The conversations of `b` miss one of five later turns: the first one elsewhere.
    const own = owned('b');
    expect(own).toBeGreaterThan(0.2);
    expect(rate).toBeCloseTo(1 - own / (turns - 1));
  });
});
