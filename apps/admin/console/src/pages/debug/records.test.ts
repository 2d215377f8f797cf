import { describe, expect, test } from 'vitest';
import { asCurl, readable, withPauses } from './records.ts';
import type { DebugRecord } from './records.ts';

describe('a debug record', () => {
  test('has JSON indented, and anything else as it came', () => {
    expect(readable('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}');
    expect(readable('{"a": cut of')).toBe('{"a": cut of');
  });

  test('shows the pause before each piece of the answer', () => {
    const events = [
      { ms: 300, text: 'a' },
      { ms: 320, text: 'b' },
      { ms: 5320, text: 'c' },
    ];
    expect(withPauses(events).map(({ pauseMs }) => pauseMs)).toEqual([300, 20, 5000]);
    expect(withPauses([])).toEqual([]);
  });

  test('is a curl command in which no text of a prompt ends its quotes', () => {
    const record = {
      sent: {
        path: '/chat/completions',
        headers: { accept: 'application/json' },
        body: `{"content":"it's; rm -rf"}`,
      },
    } as unknown as DebugRecord;
    expect(asCurl(record, 'https://a.example/v1')).toBe(
      [
        `curl 'https://a.example/v1/chat/completions' \\`,
        `  -H 'accept: application/json' \\`,
        String.raw`  -d '{"content":"it'\''s; rm -rf"}'`,
      ].join('\n'),
    );
  });
});
