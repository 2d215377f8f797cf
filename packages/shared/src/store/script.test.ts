import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadScript } from './script.ts';

describe('loadScript', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'scripts-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function write(name: string, ...lines: string[]): URL {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${lines.join('\n')}\n`);
    return pathToFileURL(path);
  }

  it('leaves a script without fragments as it is', () => {
    const file = write('plain.lua', '-- says @include "nothing"', 'return 1');
    expect(loadScript(file).lua).toBe('-- says @include "nothing"\nreturn 1\n');
  });

  it('puts a fragment where its line stands, behind a first line that Redis needs first', () => {
    write('include/two.lua', 'local two = 2');
    const file = write(
      'main.lua',
      '#!lua flags=allow-oom',
      '--- @include "include/two"',
      'return two',
    );
    expect(loadScript(file).lua).toBe('#!lua flags=allow-oom\nlocal two = 2\nreturn two\n');
  });

  it('resolves the fragments of a fragment beside that fragment, each of them once', () => {
    write('include/base.lua', '--- @include "left"', 'local base = 0');
    write('include/left.lua', '--- @include "base"', 'local left = base');
    write('include/right.lua', '--- @include "base"', 'local right = base');
    const file = write(
      'main.lua',
      '--- @include "include/right"',
      '--- @include "include/base"',
      'return right',
    );
    const lines = loadScript(file).lua.split('\n').filter(Boolean);
    expect(lines).toEqual([
      'local left = base',
      'local base = 0',
      'local right = base',
      'return right',
    ]);
  });

  it('hashes the assembled text, so that a changed fragment is another script', () => {
    write('part.lua', 'local part = 1');
    const file = write('main.lua', '--- @include "part"', 'return part');
    const before = loadScript(file).sha;
    write('part.lua', 'local part = 2');
    expect(loadScript(file).sha).not.toBe(before);
  });

  it('replaces the name of a field by its stored name, in fragments too', () => {
    write('part.lua', "local part = '@request.sealedAt'");
    const file = write(
      'main.lua',
      '--- @include "part"',
      "return {part, '@counts.clock' .. 1, '@entry.seal'}",
    );
    expect(loadScript(file).lua).toBe(
      "local part = 'sealed_at'\nreturn {part, 'clock:' .. 1, 's'}\n",
    );
  });

  it.each(['request.sealed_at', 'requests.nonce'])('refuses the unknown field %s', (name) => {
    const file = write('main.lua', `return '@${name}'`);
    expect(() => loadScript(file)).toThrow(`main.lua: unknown field ${name}`);
  });

  it.each([`"@request.run"`, `'@request.run '`, `'^@counts.model(.*)$'`])(
    'refuses %s, which it would not replace',
    (text) => {
      const file = write('main.lua', '-- of @request.run', `return ${text}`);
      expect(() => loadScript(file)).toThrow('is not a whole text in single quotes');
    },
  );

  it('says which fragment is missing', () => {
    const file = write('main.lua', '--- @include "include/gone"');
    expect(() => loadScript(file)).toThrow(/include\/gone\.lua/);
  });
});

/** The quoted texts among the arguments of each call of a hash command or of `field`, a script's own reader of one. */
function quotedFields(lua: string): string[] {
  const quoted: string[] = [];
  for (const { 0: start, index } of lua.matchAll(/\('H[A-Z]+', |(?<!function )\bfield\(/g)) {
    let depth = 1;
    let at = index + start.length;
    const from = at;
    for (; depth > 0 && at < lua.length; at++) {
      if (lua[at] === '(') depth += 1;
      if (lua[at] === ')') depth -= 1;
    }
    quoted.push(...Array.from(lua.slice(from, at).matchAll(/'([^']*)'/g), ([, text = '']) => text));
  }
  return quoted;
}

describe('every script', () => {
  const files = globSync('**/lua/*.lua', { cwd: import.meta.dirname });

  it('is found', () => {
    expect(files.length).toBeGreaterThan(30);
  });

  it.each(files)('%s names the fields of records by records.ts', (file) => {
    const lua = readFileSync(join(import.meta.dirname, file), 'utf8');
    const literal = quotedFields(lua).filter((text) => /^[a-z_.]{2,}:?$/i.test(text));
    // Commands that stand inside another command's arguments.
    expect(literal.filter((text) => !/^[A-Z]+$/.test(text))).toEqual([]);
  });
});
