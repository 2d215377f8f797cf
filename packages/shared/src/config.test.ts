import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, HelpRequested, loadConfig } from './config.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-config-'));
const file = join(folder, 'config.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const env = {
  ADMIN_PASSWORD: 'hunter2 with a " and a }',
  TEAM_A_KEY: 'sk: [not yaml',
  OPENAI_API_KEY: 'sk-openai',
  ANTHROPIC_API_KEY: 'sk-anthropic',
};

const complete = `
listen: { host: 127.0.0.1, port: 8080, tls: { cert: ./cert.pem, key: /etc/key.pem } }   # tls
redis: { url: redis://127.0.0.1:6379 }
shards: 1
retention: 1h
drainTimeout: 30s
delivery: { coalesce: 25ms }
admin: { user: ops, password: \${ADMIN_PASSWORD} }
keys:
  - id: team-a
    secret: \${TEAM_A_KEY}
    models: ["*"]
    ips: [10.0.0.0/8, "::1"]
    priority: normal
    weight: 1
    limits: { requestsPerMinute: 600, tokensPerMinute: 200000, concurrent: 50 }
providers:
  openai:    { api: openai, baseUrl: https://api.openai.com/v1/, apiKey: \${OPENAI_API_KEY} }
  anthropic: { api: anthropic, baseUrl: https://api.anthropic.com, apiKey: \${ANTHROPIC_API_KEY} }
models:
  gpt-4o:
    targets:
      - { provider: openai, model: gpt-4o }
      - { provider: anthropic, model: claude-sonnet-4-5, prefill: false }
    strategy: failover
    firstTokenTimeout: 10s
    idleTimeout: 15s
    timeout: 10m
    onSlowFirstToken: hedge
    continuation: auto
    holdToolCalls: true
`;

const minimal = `
providers: { p: { api: openai, baseUrl: http://127.0.0.1:1 } }
models: { m: { targets: [{ provider: p, model: x }] } }
`;

function load(text: string, more: Partial<Parameters<typeof loadConfig>[0]> = {}) {
  writeFileSync(file, text);
  return loadConfig({
    argv: ['--config', file, ...(more.argv ?? [])],
    env: more.env ?? env,
    role: more.role ?? 'ingress',
  });
}

/** The problems, with the file's path taken off. */
function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map((line) => line.replace(`${file}:`, ''));
    throw error;
  }
  return [];
}

describe('a config file', () => {
  test('with every field is read, with times in milliseconds and paths beside the file', () => {
    const { config, options } = load(complete);
    expect(config).toMatchObject({
      listen: { port: 8080, tls: { cert: join(folder, 'cert.pem'), key: '/etc/key.pem' } },
      retentionMs: 3_600_000,
      drainTimeoutMs: 30_000,
      drainDelayMs: 0,
      board: 'read-only',
      delivery: { coalesce: 25 },
      admin: { user: 'ops' },
      providers: { openai: { baseUrl: 'https://api.openai.com/v1', apiKeys: ['sk-openai'] } },
      models: {
        'gpt-4o': {
          targets: [{ weight: 1 }, { prefill: false }],
          firstTokenTimeoutMs: 10_000,
          timeoutMs: 600_000,
        },
      },
      limits: {
        requestBodyBytes: 16 * 1024 * 1024,
        readerStallMs: 60_000,
        workerConcurrency: 2048,
      },
    });
    expect(options.configFile).toBe(file);
  });

  test('keeps the hash of a key, never the key', () => {
    const { config } = load(complete);
    const hash = createHash('sha256').update(env.TEAM_A_KEY).digest('hex');
    expect(config.keys?.[0]?.secretsSha256).toEqual([hash]);
    expect(JSON.stringify(config)).not.toContain(env.TEAM_A_KEY);
    expect(JSON.stringify(config)).not.toContain('hunter2');
  });

  test('becomes a frozen object whose maps have no inherited names', () => {
    const { config } = load(minimal);
    expect(() => Object.assign(config.limits, { waiting: 1 })).toThrow(TypeError);
    expect(Object.isFrozen(config.models['m']?.targets[0])).toBe(true);
    expect(config.models['constructor']).toBeUndefined();
  });

  test('tells every problem at once, each with line, column, field, expectation and finding', () => {
    const text = `
listen: { host: 12, port: 808000 }
retention: 10 seconds
drainTimeot: 30s
providers:
  openai: { api: opena, baseUrl: ftp://api.openai.com/v1 }
models:
  gpt-4.1:
    targets:
      - { provider: openia, model: gpt-4o }
      - { provider: openai }
    timeout: 40d
limits: { requestBody: 16 MiBs }
`;
    expect(problems(() => load(text))).toEqual([
      '2:11 listen.host: expected an address or host name, found 12',
      '2:21 listen.port: expected a whole number from 0 to 65535, found 808000',
      '3:1 retention: expected a duration such as 250ms, 10s or 5m, found "10 seconds"',
      '4:1 drainTimeot: unknown field (did you mean drainTimeout?)',
      '6:13 providers.openai.api: expected one of openai, anthropic, openai-responses, gemini, found "opena"',
      '6:25 providers.openai.baseUrl: expected an http or https URL without login, query or fragment, found "ftp://api.openai.com/v1"',
      '10:11 models["gpt-4.1"].targets[0].provider: expected one of the providers (openai), found "openia" (did you mean openai?)',
      '11:9 models["gpt-4.1"].targets[1].model: expected the provider\'s name for a model, found nothing',
      '12:5 models["gpt-4.1"].timeout: expected a duration from 1ms to 1d, found "40d"',
      '13:11 limits.requestBody: expected a size such as 65536, 256KiB or 16MiB, found "16 MiBs"',
    ]);
  });

  test.each([
    ['', 'auto'],
    ['auto', 'auto'],
    ['0', 0],
    ['"0"', 0],
    ['0ms', 0],
    ['60ms', 60],
  ])('with the window %s for the chunks of a stream', (written, coalesce) => {
    const delivery = written === '' ? '' : `delivery: { coalesce: ${written} }\n`;
    expect(load(minimal + delivery).config.delivery).toEqual({ coalesce });
  });

  test.each([
    ['25', '25'],
    ['61ms', '"61ms"'],
    ['yes', '"yes"'],
    ['-1ms', '"-1ms"'],
  ])('with the window %s for the chunks of a stream is an error', (written, found) => {
    expect(problems(() => load(`${minimal}delivery: { coalesce: ${written} }\n`))).toEqual([
      expect.stringMatching(
        new RegExp(
          `delivery.coalesce: expected auto, 0 or a duration up to 60ms, such as 25ms, found ${found}$`,
        ),
      ),
    ]);
  });

  test.each([
    ['a name given twice', 'shards: 1\nretention: 1h\nshards: 2\n', /^3:1: shards is given twice/],
    ['a missing bracket', 'listen: { port: 1\nshards: 2\n', /^2:1: expected YAML: /],
    ['a tab as indentation', 'listen:\n\tport: 1\n', /^2:1: expected YAML: Tabs/],
    ['a second document', `${minimal}---\na: 1\n`, /^4:1: expected one YAML document/],
    ['an alias of nothing', 'shards: *one\n', /anchors .* that exist/],
    ['nothing at all', '', /^1:1 providers: expected at least one/],
    ['a text instead of a mapping', 'hello', /^1:1: expected a mapping .*, found a string/m],
  ])('with %s is an error with its line', (_name, text, expected) => {
    expect(problems(() => load(text)).join('\n')).toMatch(expected);
  });

  test('that is missing or no file is a clear error', () => {
    const run = (path: string) => () =>
      loadConfig({ argv: ['--config', path], env: {}, role: 'worker' });
    expect(run(join(folder, 'none.yaml'))).toThrow(/none.yaml: .* there is no such file/);
    expect(run(folder)).toThrow(/it is a folder/);
  });
});

describe('keys', () => {
  const withKeys = (keys: string) => `${minimal}keys:\n${keys}`;

  test('need exactly one of secret, secrets and sha256, other ids, and at least one entry', () => {
    expect(problems(() => load(withKeys('  - { id: a, secret: x, sha256: ab }\n')))).toEqual([
      '5:5 keys[0]: expected one of secret, secrets and sha256, found secret and sha256',
      '5:25 keys[0].sha256: expected the SHA-256 of a key in 64 hexadecimal digits, found a string (not shown)',
    ]);
    expect(problems(() => load(withKeys('  - { id: a }\n')))[0]).toMatch(/found none$/);
    expect(problems(() => load(withKeys('  []\n')))[0]).toMatch(/at least one key/);
    const twice = '  - { id: a, secret: x }\n  - { id: a, secret: x }\n';
    expect(problems(() => load(withKeys(twice)))).toHaveLength(2);
  });

  test('have a secret each, however it is written', () => {
    const digest = createHash('sha256').update('hunter2').digest('hex');
    const other = createHash('sha256').update('other').digest('hex');
    const both = (one: string, two: string) =>
      problems(() => load(withKeys(`  - { id: a, ${one} }\n  - { id: b, ${two} }\n`)));
    for (const [one, two] of [
      ['secret: hunter2', 'secret: hunter2'],
      ['secret: hunter2', `sha256: ${digest}`],
      [`sha256: ${digest.toUpperCase()}`, 'secret: hunter2'],
      [`sha256: ${digest}`, `sha256: ${digest.toUpperCase()}`],
    ] as const) {
      const found = both(one, two);
      expect(found).toHaveLength(1);
      expect(found[0]).toContain(
        'expected keys[1] "b" to have another secret than keys[0] "a"; a secret identifies one key',
      );
      expect(found[0]).not.toContain('hunter2');
      expect(found[0]?.toLowerCase()).not.toContain(digest);
    }
    const fine = `  - { id: a, secret: hunter2 }\n  - { id: b, sha256: ${other} }\n`;
    expect(load(withKeys(fine)).config.keys).toHaveLength(2);
  });

  test('may have several secrets, each of them known by its hash and unlike those of other keys', () => {
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const rotating = load(withKeys('  - { id: a, secrets: [old-one, new-one] }\n'));
    expect(rotating.config.keys?.[0]?.secretsSha256).toEqual([
      sha256('old-one'),
      sha256('new-one'),
    ]);
    expect(rotating.warnings).toHaveLength(2);
    const wrong = (fields: string) => problems(() => load(withKeys(`  - { id: a, ${fields} }\n`)));
    expect(wrong('secrets: []')).toEqual(['5:14 keys[0].secrets: expected at least one secret']);
    expect(wrong('secret: x, secrets: [hunter2]')[0]).toMatch(/found secret and secrets$/);
    expect(wrong('secrets: [hunter2, ""]')[0]).toMatch(/^5:33 keys\[0\].secrets\[1\]: .*not empty/);
    expect(wrong('secrets: [" hunter2"]')[0]).toMatch(/secrets\[0\]: expected no white space/);
    const shared = '  - { id: a, secrets: [one, two] }\n  - { id: b, secrets: [three, two] }\n';
    expect(problems(() => load(withKeys(shared)))).toEqual([
      expect.stringMatching(
        /keys\[1\].secrets\[1\]: expected keys\[1\] "b" to have another secret/,
      ),
    ]);
  });

  test('take addresses and ranges, and nothing else', () => {
    const ips = (list: string) => load(withKeys(`  - { id: a, secret: x, ips: [${list}] }\n`));
    expect(ips('10.0.0.0/8, "::1", "fd00::/8"').config.keys?.[0]?.ips).toHaveLength(3);
    for (const wrong of ['10.0.0.0/33', '10.0.0', 'localhost', '"10.0.0.0/8/8"', '"1.2.3.4/"']) {
      expect(problems(() => ips(wrong))).toHaveLength(1);
    }
  });
});

describe('who may reach it', () => {
  const listen = (fields: string) => load(`${minimal}listen: { ${fields} }\n`).config.listen;

  test('trusts no proxy and no page unless told so', () => {
    expect(listen('')).toMatchObject({ trustedProxies: [], cors: { origins: [] } });
  });

  test('trusts addresses and ranges of proxies, and never everybody', () => {
    const trusted = ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'];
    expect(listen(`trustedProxies: ${JSON.stringify(trusted)}`).trustedProxies).toEqual(trusted);
    for (const wrong of ['0.0.0.0/0', '::/0', '10.0.0.0/33', 'loopback', 'true']) {
      expect(problems(() => listen(`trustedProxies: ["${wrong}"]`))).toHaveLength(1);
    }
  });

  test('takes origins as browsers send them', () => {
    const origins = (list: string) => listen(`cors: { origins: [${list}] }`).cors.origins;
    expect(origins('"https://App.example", "http://localhost:3000", "*"')).toEqual([
      'https://app.example',
      'http://localhost:3000',
      '*',
    ]);
    for (const wrong of [
      'app.example',
      'https://app.example/path',
      'https://u:p@app.example',
      'null',
    ]) {
      expect(problems(() => origins(`"${wrong}"`))).toHaveLength(1);
    }
  });
});

describe('providers', () => {
  const withProvider = (fields: string) => `
providers: { p: { api: openai, baseUrl: "https://p.example", ${fields} } }
models: { m: { targets: [{ provider: p, model: x }] } }
`;
  const provider = (fields: string) => load(withProvider(fields)).config.providers['p'];
  const pin = `${'A'.repeat(43)}=`;

  test('have one key, several, or none', () => {
    expect(provider('')?.apiKeys).toEqual([]);
    expect(provider('apiKey: a')?.apiKeys).toEqual(['a']);
    expect(provider('apiKeys: [a, b]')?.apiKeys).toEqual(['a', 'b']);
    expect(problems(() => provider('apiKey: hunter2, apiKeys: [hunter2]'))).toEqual([
      '2:14 providers.p: expected either apiKey or apiKeys, found both',
    ]);
  });

  test('have a pool, a check and a breaker, with defaults', () => {
    expect(provider('pool: { warm: 4, wait: 1s }, breaker: { failures: 3 }')).toMatchObject({
      pool: { connections: 512, warm: 4, waitMs: 1000, idleTimeoutMs: 55_000, http2: false },
      check: { kind: 'models', intervalMs: 30_000 },
      breaker: { enabled: true, errorRate: 10, calls: 20, windowMs: 30_000, failures: 3 },
    });
  });

  test('name PEM files beside the config file, and pins', () => {
    expect(provider(`tls: { ca: ./ca.pem, pins: ["sha256/${pin}"] }`)?.tls).toEqual({
      minVersion: '1.2',
      ca: join(folder, 'ca.pem'),
      pins: [pin],
    });
    expect(problems(() => provider('tls: { cert: ./c.pem }'))[0]).toMatch(/needs both$/);
    expect(problems(() => provider('tls: { pins: [abc] }'))[0]).toMatch(/base64, such as sha256/);
  });

  test('may be reached through a proxy, whose login is not shown', () => {
    expect(provider('proxy: "http://u:p@proxy:3128"')?.proxy).toBe('http://u:p@proxy:3128/');
    const lines = problems(() => provider('proxy: "socks5://u:hunter2@proxy"'));
    expect(lines[0]).toMatch(/an http URL of a proxy/);
    expect(lines[0]).not.toContain('hunter2');
  });
});

describe('models', () => {
  const withModel = (target: string, model = '') => `
providers: { p: { api: openai, baseUrl: http://127.0.0.1:1 } }
models: { m: { targets: [{ provider: p, model: x${target} }]${model} } }
`;

  test.each([
    ['', undefined],
    [', prefill: true', true],
    [', prefill: false', false],
    [', prefill: with-tools', 'with-tools'],
  ])('say of a target how it goes on with an answer: %j', (target, prefill) => {
    expect(load(withModel(target)).config.models['m']?.targets[0]?.prefill).toBe(prefill);
  });

  test('say of a target what it can do', () => {
    const capabilities = {
      contextWindow: 128_000,
      maxOutputTokens: 16_384,
      input: ['text', 'image'],
      output: ['text'],
      tools: true,
      structuredOutput: true,
      reasoning: false,
      serves: ['chat'],
    };
    const { config } = load(withModel(`, capabilities: ${JSON.stringify(capabilities)}`));
    expect(config.models['m']?.targets[0]?.capabilities).toEqual(capabilities);
  });

  test('can do nothing that has no name, and nothing that their provider has no API for', () => {
    const wrong = `, capabilities: { contextWindow: 0, input: [smell], tools: sometimes, fly: true }`;
    expect(problems(() => load(withModel(wrong)))).toEqual([
      expect.stringMatching(/contextWindow: expected a number of tokens/),
      expect.stringMatching(/input\[0\]: expected one of text, image, audio, video, file/),
      expect.stringMatching(/tools: expected true or false/),
      expect.stringMatching(/fly: unknown field/),
    ]);
    const text = withModel(', capabilities: { serves: [chat, speech] }');
    expect(problems(() => load(text.replace('openai', 'anthropic')))).toEqual([
      '3:82 models.m.targets[0].capabilities.serves[1]: expected chat at a provider with api: anthropic, found "speech"',
    ]);
  });

  test.each(['auto', 'strict', 'off', 'always'])('have continuation: %s', (continuation) => {
    const { config } = load(withModel('', `, continuation: ${continuation}`));
    expect(config.models['m']?.continuation).toBe(continuation);
  });

  test('have no other ones', () => {
    expect(problems(() => load(withModel(', prefill: sometimes', ', continuation: on')))).toEqual([
      expect.stringContaining('prefill: expected true, false or with-tools'),
      expect.stringContaining('continuation: expected one of auto, strict, off, always'),
    ]);
  });
});

describe('a config that means something else', () => {
  const withKeys = (keys: string) => `${minimal}keys:\n${keys}`;
  const good = '0123456789abcdef';

  test.each([
    [
      'models of a key that there are not',
      withKeys(`  - { id: a, secret: ${good}, models: [m, n, '*'] }`),
      '5:52 keys[0].models[1]: expected "*" or one of the models (m), found "n" (did you mean m?)',
    ],
    [
      'a secret with a line break behind it',
      withKeys(`  - { id: a, secret: "${good}\\n" }`),
      '5:14 keys[0].secret: expected no white space at its beginning or end (not shown)',
    ],
    [
      'a provider’s key with a blank before it',
      minimal.replace('api: openai,', 'api: openai, apiKey: " sk-secret",'),
      '2:32 providers.p.apiKey: expected no white space at its beginning or end (not shown)',
    ],
    [
      'a user that Basic authentication cannot name',
      `${minimal}admin: { user: 'a:b', password: ${good} }`,
      '4:10 admin.user: expected a name without a colon, found "a:b"',
    ],
  ])('is refused with its line: %s', (_, text, problem) => {
    expect(problems(() => load(text))).toEqual([expect.stringContaining(problem)]);
  });

  const proposal =
    '(not shown), because a short one can be guessed; openssl rand -hex 24 makes a good one';
  test.each([
    [
      'a secret of five characters',
      withKeys('  - { id: a, secret: abcde }'),
      `5:14 keys[0].secret: expected at least 16 characters, found 5 ${proposal}`,
    ],
    [
      'a secret with a blank in it',
      withKeys('  - { id: a, secret: correct horse battery }'),
      '5:14 keys[0].secret: expected ASCII letters, digits and punctuation without blanks: clients cannot ',
    ],
    [
      'a key that may use no model',
      withKeys(`  - { id: a, secret: ${good}, models: [] }`),
      '5:40 keys[0].models: expected at least one model; this key may use none; without the field it may use all',
    ],
    [
      'a Completions API of another format',
      minimal.replace('{ api: openai', '{ completions: true, api: anthropic'),
      '2:19 providers.p.completions: expected it with api: openai only; others get completions as chats',
    ],
    [
      'a weak password',
      `${minimal}admin: { user: ops, password: pass }`,
      `4:21 admin.password: expected at least 12 characters, found 4 ${proposal}`,
    ],
    [
      'a password that is the user',
      `${minimal}admin: { user: operator-of-this, password: operator-of-this }`,
      '4:34 admin.password: expected a password that differs from the user',
    ],
    [
      'an address beyond loopback without keys',
      `${minimal}listen: { host: 0.0.0.0 }`,
      '4:11 listen.host: 0.0.0.0 is beyond loopback, but without keys the server answers programs of this machine only',
    ],
  ])('is warned of with its line and a proposal: %s', (_, text, warning) => {
    const { warnings } = load(text);
    expect(warnings).toEqual([expect.stringContaining(`${file}:${warning}`)]);
  });

  test('is warned of where the host is a flag, and is none with keys or on loopback', () => {
    const warningsOf = (text: string, host: string) =>
      load(text, { argv: ['--host', host] }).warnings;
    expect(warningsOf(minimal, '::')).toEqual([expect.stringMatching(/^--host: :: is beyond/)]);
    for (const host of ['localhost', '127.0.0.2', '::1'])
      expect(warningsOf(minimal, host)).toEqual([]);
    expect(warningsOf(withKeys(`  - { id: a, secret: ${good} }`), '::')).toEqual([]);
  });
});

describe('the built-in providers', () => {
  const text = `
models:
  m: { targets: [{ provider: simulated, model: healthy }, { provider: simulated-backup, model: healthy }] }
`;
  const urls = {
    MILLRACE_SIMULATED_URL: 'http://127.0.0.1:9100',
    MILLRACE_SIMULATED_BACKUP_URL: 'http://backup:9100',
  };
  const as = (role: 'start' | 'ingress' | 'worker', given: NodeJS.ProcessEnv) => {
    writeFileSync(file, text);
    return loadConfig({ argv: ['--config', file], env: given, role });
  };

  test('are there for a config that names them, where the environment says', () => {
    const { config, options } = as('worker', urls);
    expect(config.providers).toMatchObject({
      simulated: { api: 'openai', baseUrl: 'http://127.0.0.1:9100/v1' },
      'simulated-backup': { baseUrl: 'http://backup:9100/v1' },
    });
    expect(options.simulated).toEqual([]);
  });

  test('are run by npm start, and asked by no worker that does not know where they are', () => {
    expect(as('start', {}).options.simulated).toEqual(['simulated', 'simulated-backup']);
    const { MILLRACE_SIMULATED_URL } = urls;
    expect(as('start', { MILLRACE_SIMULATED_URL }).options.simulated).toEqual(['simulated-backup']);
    expect(as('ingress', {}).options.simulated).toHaveLength(2);
    expect(() => as('worker', { MILLRACE_SIMULATED_URL })).toThrow(
      /^the provider simulated-backup is built into npm start; .* set MILLRACE_SIMULATED_BACKUP_URL=/,
    );
  });

  test('are no others than a config’s own of that name, and only where a target names them', () => {
    const own = `
providers: { simulated: { api: anthropic, baseUrl: https://example.com } }
models: { m: { targets: [{ provider: simulated, model: x }] } }
`;
    const { config, options } = load(own);
    expect(config.providers['simulated']).toMatchObject({ api: 'anthropic' });
    expect(options.simulated).toEqual([]);
    expect(Object.keys(load(minimal).config.providers)).toEqual(['p']);
  });

  test('are proposed for a name that is nearly theirs', () => {
    expect(() => load(minimal.replace('provider: p', 'provider: simulatd'))).toThrow(
      'found "simulatd" (did you mean simulated?)',
    );
  });
});

describe('secrets', () => {
  test('never appear in a message, wherever they were put by mistake', () => {
    const text = `
redis: { url: "http://user:hunter2@host" }
admin: hunter2
keys:
  - hunter2
  - { id: a, secret: [hunter2], sha256: hunter2, sercet: hunter2 }
  - { id: b, secret: hunter2 }
  - { id: c, secret: hunter2 }
providers:
  p: { api: openai, baseUrl: "ftp://user:hunter2@host", apiKey: { hunter2: 1 } }
  q: hunter2
models: { m: { targets: [{ provider: p, model: x }], timeout: \${SECRET} } }
`;
    const lines = problems(() => load(text, { env: { SECRET: 'hunter2' } }));
    expect(lines.length).toBeGreaterThan(8);
    expect(lines.join('\n').replace('apiKey.hunter2', '')).not.toContain('hunter2');
    expect(lines.at(-1)).toContain('found the value of ${SECRET} (not shown)');
  });

  test('never appear in the message of a YAML error', () => {
    for (const text of [
      'a: |hunter2\n',
      '- 1\nb: hunter2\n',
      'a: "hunter2\n',
      'a: [hunter2: @hunter2\n',
    ]) {
      const lines = problems(() => load(text));
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.join()).not.toContain('hunter2');
    }
  });
});

describe('${NAME}', () => {
  const withHost = (host: string) => `listen: { host: ${host} }\n${minimal.trim()}\n`;
  const host = (text: string, variables: NodeJS.ProcessEnv = { H: 'a: {b}' }): string =>
    load(withHost(text), { env: variables }).config.listen.host;

  test('reads a variable inside of any text, and its value is never read as YAML', () => {
    expect(host('${H}')).toBe('a: {b}');
    expect(host('"x-${H}-${H}"')).toBe('x-a: {b}-a: {b}');
  });

  test('can be escaped, is left alone in comments, and serves for numbers', () => {
    expect(host('$${H}')).toBe('${H}');
    expect(host('h } # ${NOT_SET}\n# {')).toBe('h');
    expect(
      load(`listen: { port: \${P} }\n${minimal}`, { env: { P: '81' } }).config.listen.port,
    ).toBe(81);
  });

  test('of a missing variable is an error that names it, with its place', () => {
    expect(problems(() => host('${NOT_SET}', {}))).toEqual([
      '1:17: the environment variable NOT_SET is not set',
    ]);
    expect(problems(() => host('"${A B}"'))[0]).toMatch(/expected a variable's name/);
    expect(problems(() => host('"${H"'))[0]).toMatch(/expected a } after/);
    expect(problems(() => load('${H}: 1\n'))[0]).toMatch(/only values can be read/);
  });
});

describe('flags and variables', () => {
  const port = (
    argv: string[],
    variables: NodeJS.ProcessEnv,
    text = `listen: { port: 3 }\n${minimal}`,
  ) => load(text, { argv, env: variables }).config.listen.port;

  test('a flag beats the variable, the variable beats the file, the file beats the default', () => {
    expect(port(['--port', '1'], { PORT: '2' })).toBe(1);
    expect(port([], { PORT: '2' })).toBe(2);
    expect(port([], { PORT: '' })).toBe(3);
    expect(port([], {}, minimal)).toBe(8080);
    expect(port(['--port=0'], { PORT: '2' })).toBe(0);
  });

  test('that are wrong are reported together with the problems of the file', () => {
    const argv = ['--prot', '--port=abc', '--workers', '3', 'extra', '--host'];
    const found = problems(() => load('shards: 0\n', { argv, env: { REDIS_URL: 'hunter2' } }));
    expect(found).toEqual([
      '--prot: unknown flag (did you mean port?)',
      '--workers: only npm start has this flag',
      'unexpected argument "extra"',
      '--host: expected a value, found nothing',
      '--port: expected a whole number from 0 to 65535, found "abc"',
      expect.stringMatching(/^REDIS_URL: expected a URL such as .* found something else/),
      expect.stringMatching(/^1:1 providers/),
      expect.stringMatching(/^1:1 models/),
      '1:1 shards: expected a whole number from 1 to 1024, found 0',
    ]);
    expect(found.join()).not.toContain('hunter2');
  });

  test('of the health port are those of a worker and a control plane', () => {
    const env = { MILLRACE_HEALTH_PORT: '8081' };
    const healthPort = (role: 'ingress' | 'worker' | 'admin') =>
      load(minimal, { env, role }).config.healthPort;
    expect([healthPort('worker'), healthPort('admin'), healthPort('ingress')]).toEqual([
      8081, 8081, 0,
    ]);
    expect(problems(() => load(minimal, { argv: ['--health-port', '1'] }))).toEqual([
      '--health-port: only npm run worker and npm run admin has this flag',
    ]);
  });

  test('only npm start can do without a config file', () => {
    const run = (role: 'start' | 'worker') => () => loadConfig({ argv: [], env: {}, role });
    expect(run('worker')).toThrow(/a config file is needed/);
    expect(run('start')().options).toMatchObject({ workers: 2, ingresses: 1 });
    const start = loadConfig({
      argv: ['--workers', '5'],
      env: { MILLRACE_INGRESSES: '3', MILLRACE_DATA: '/x' },
      role: 'start',
    });
    expect(start.options).toMatchObject({ workers: 5, ingresses: 3, dataDir: '/x' });
  });

  test('--help lists every flag with its variable and default', () => {
    const help = () => loadConfig({ argv: ['--help'], env: {}, role: 'start' });
    expect(help).toThrow(HelpRequested);
    expect(help).toThrow(/--workers N +MILLRACE_WORKERS +worker processes \(default 2\)/);
    expect(help).toThrow(/limits.requestBody +16MiB/);
  });
});

describe('the database of the ledger', () => {
  const database = (text: string, more: NodeJS.ProcessEnv = {}, argv: string[] = []) => {
    writeFileSync(file, minimal + text);
    const { config, options } = loadConfig({
      argv: ['--config', file, ...argv],
      env: { ...env, ...more },
      role: 'start',
    });
    return { ...config.database, keepsLedger: options.keepsLedger };
  };
  const day = 86_400_000;

  test('is none of the config by default, and kept for 90 days', () => {
    expect(database('')).toEqual({ keepsLedger: true });
    expect(database('database: { url: postgres://u:p@db/ledger }')).toEqual({
      url: 'postgres://u:p@db/ledger',
      retentionMs: 90 * day,
      auditRetentionMs: 365 * day,
      keepsLedger: true,
    });
  });

  test('is a file beside the config, and beside the working directory if a flag or a variable names it', () => {
    const text = 'database: { url: sqlite:ledger.db, retention: 7d }';
    expect(database(text)).toMatchObject({
      url: `sqlite:${join(folder, 'ledger.db')}`,
      retentionMs: 7 * day,
    });
    const url = `sqlite:${join(process.cwd(), 'other.db')}`;
    expect(database(text, { DATABASE_URL: 'sqlite:other.db' })).toMatchObject({
      url,
      retentionMs: 7 * day,
    });
    expect(database(text, {}, ['--database', 'sqlite:other.db'])).toMatchObject({ url });
  });

  test('none means no ledger, also in the folder of a start', () => {
    expect(database('database: { url: none }')).toEqual({ keepsLedger: false });
    const text = 'database: { url: sqlite:ledger.db }';
    expect(database(text, { DATABASE_URL: 'none' })).toEqual({ keepsLedger: false });
  });

  test('that is no URL of a database is refused, and its password not shown', () => {
    const refused = (text: string, more?: NodeJS.ProcessEnv) => {
      try {
        database(text, more);
      } catch (error) {
        return (error as ConfigError).problems.join('\n');
      }
      return 'accepted';
    };
    expect(refused('database: { url: mysql://u:hunter2@db/x }')).toMatch(
      /database\.url: expected sqlite:PATH/,
    );
    expect(refused('database: { url: mysql://u:hunter2@db/x }')).not.toContain('hunter2');
    expect(refused('', { DATABASE_URL: 'mysql://u:hunter2@db/x' })).toMatch(
      /^DATABASE_URL: expected sqlite:PATH/,
    );
    expect(refused('', { DATABASE_URL: 'mysql://u:hunter2@db/x' })).not.toContain('hunter2');
    expect(refused('database: { url: sqlite:a.db, retention: 1m }')).toMatch(/database\.retention/);
  });
});

describe('the budget of a key', () => {
  const withBudget = (budget: string, more = 'database: { url: sqlite:a.db }') => `${more}
keys:
  - id: a
    secret: s
    budget: ${budget}
${minimal}`;

  test('has at least one amount, and USD without saying so', () => {
    const { config } = load(withBudget('{ day: 0.5, tokensPerMonth: 1000 }'));
    expect(config.keys?.[0]?.budget).toEqual({ day: 0.5, tokensPerMonth: 1000, currency: 'USD' });
    expect(config.budgets).toEqual({ onLedgerDown: 'open' });
    const strict = 'database: { url: sqlite:a.db }\nbudgets: { onLedgerDown: closed }';
    expect(load(withBudget('{ day: 0 }', strict)).config.budgets.onLedgerDown).toBe('closed');
  });

  test.each([
    ['{}', 'expected at least one of day, month, tokensPerDay, tokensPerMonth, found a mapping'],
    ['{ day: -1 }', 'budget.day: expected USD, from 0 to 1,000,000, found -1'],
    ['{ month: 50 EUR }', 'budget.month: expected USD, from 0 to 1,000,000, found "50 EUR"'],
    ['{ day: 1, currency: EUR }', 'budget.currency: expected one of USD, found "EUR"'],
    ['{ tokensPerDay: 0.5 }', 'budget.tokensPerDay: expected a whole number'],
    ['{ day: 1, week: 1 }', 'budget.week: unknown field'],
  ])('%s is refused with the field and what was expected', (budget, problem) => {
    expect(problems(() => load(withBudget(budget)))).toEqual([expect.stringContaining(problem)]);
  });

  test('needs a ledger, which a start has without a database in its config', () => {
    const missing = /^5:5 keys\[0\]\.budget: a budget needs the ledger, .*database\.url/;
    expect(problems(() => load(withBudget('{ day: 1 }', '')))).toEqual([
      expect.stringMatching(missing),
    ]);
    const env = { DATABASE_URL: 'none' };
    expect(problems(() => load(withBudget('{ day: 1 }'), { env }))).toHaveLength(1);
    writeFileSync(file, withBudget('{ day: 1 }', ''));
    const start = (argv: string[]) =>
      loadConfig({ argv: ['--config', file, ...argv], env: {}, role: 'start' });
    expect(start([]).config.keys).toHaveLength(1);
    expect(problems(() => start(['--database', 'none']))).toHaveLength(1);
    // It keeps none beside a shared Redis.
    expect(problems(() => start(['--redis', 'redis://127.0.0.1:1']))).toHaveLength(1);
  });
});

describe('webhooks', () => {
  const secret = `whsec_${Buffer.alloc(24).toString('base64')}`;

  test('are not sent unless the section is there; all events go to the URL', () => {
    expect(load(minimal).config.webhooks).toBeUndefined();
    const url = 'https://ops.example.com/hook?a=1';
    expect(
      load(`${minimal}webhooks: { secret: ${secret}, url: '${url}' }`).config.webhooks,
    ).toEqual({
      secret,
      url,
      allowPrivate: false,
      events: expect.arrayContaining(['alert.fired']),
    });
    const open = `{ secret: ${secret}, url: 'http://10.0.0.1/', allowPrivate: true, events: [] }`;
    expect(load(`${minimal}webhooks: ${open}`).config.webhooks?.events).toEqual([]);
  });

  test.each([
    ['url: https://a.example.com', 'webhooks.secret: expected whsec_'],
    ['secret: whsec_dG9vIHNob3J0', 'webhooks.secret: expected whsec_ and 24 to 64 bytes'],
    ['secret: plain', 'not shown'],
    [`secret: ${secret}, url: 'http://a.example.com'`, 'http needs allowPrivate: true'],
    [`secret: ${secret}, url: 'https://u:p@a.example.com'`, 'webhooks.url: expected'],
    [`secret: ${secret}, events: [job.done]`, 'expected one of job.completed'],
  ])('%s is refused', (section, message) => {
    const found = problems(() => load(`${minimal}webhooks: { ${section} }`));
    expect(found.join()).toContain(message);
    expect(found.join()).not.toContain('dG9vIHNob3J0');
  });
});

describe('telemetry', () => {
  test('is off by default, and traces every request that its client does not decide about', () => {
    expect(load(minimal).config.telemetry).toBeUndefined();
    expect(load(`${minimal}telemetry: {}`).config.telemetry).toEqual({
      sample: 1,
      propagate: false,
      trustClients: true,
    });
    const text = `${minimal}telemetry: { otlp: 'http://collector:4318/', sample: 0.1 }`;
    expect(load(text).config.telemetry).toEqual({
      otlp: 'http://collector:4318',
      sample: 0.1,
      propagate: false,
      trustClients: true,
    });
  });

  test.each([
    ['sample: 1.5', 'telemetry.sample: expected a number from 0 to 1'],
    ['sample: often', 'telemetry.sample: expected a number from 0 to 1'],
    ['otlp: collector', 'telemetry.otlp: expected an http or https URL'],
    ['propagate: 1', 'telemetry.propagate: expected true or false'],
    ['endpoint: x', 'telemetry.endpoint'],
  ])('is refused with %s', (field, problem) => {
    const found = problems(() => load(`${minimal}telemetry: { ${field} }`));
    expect(found.join()).toContain(problem);
  });
});

describe('aliases with a "*"', () => {
  const withModels = (models: string) => `
providers: { p: { api: openai, baseUrl: http://127.0.0.1:1 } }
keys: [{ id: a, secret: sk-0123456789abcdef, models: ['p/*', 'p/x', 'p/x-*'] }]
models: { ${models} }
`;

  test('serve all names that begin so, and keys can name a part of them', () => {
    const { config } = load(withModels("'p/*': { targets: [{ provider: p, model: 'org/*' }] }"));
    expect(config.models['p/*']?.targets[0]?.model).toBe('org/*');
    expect(config.keys?.[0]?.models).toEqual(['p/*', 'p/x', 'p/x-*']);
  });

  test('have it at their end, and only their targets have one', () => {
    const wrong = withModels(
      "'p/*': { targets: [{ provider: p, model: '*/*' }] }, 'p/*/x': { targets: [{ provider: p, model: y }] }, z: { targets: [{ provider: p, model: '*' }] }",
    );
    const found = problems(() => load(wrong));
    expect(found).toHaveLength(3);
    expect(found.join('\n')).toMatch(/at most one "\*".*\n.*at the end.*\n.*no "\*"/);
  });
});

describe('what a provider adds to each request', () => {
  const withProvider = (fields: string) => `
providers: { p: { api: openai, baseUrl: http://127.0.0.1:1, ${fields} } }
models: { m: { targets: [{ provider: p, model: x }] } }
`;

  test('is a query, headers and the way in which the key is shown', () => {
    const { config } = load(
      withProvider(
        "query: { api-version: '2025-04-01' }, headers: { x-token: '${OPENAI_API_KEY}' }, auth: api-key, aggregator: true",
      ),
    );
    expect(config.providers['p']).toMatchObject({
      query: { 'api-version': '2025-04-01' },
      headers: { 'x-token': 'sk-openai' },
      auth: 'api-key',
      aggregator: true,
    });
  });

  test('cannot change what a message or a connection needs, and is not shown', () => {
    const wrong = withProvider(
      'headers: { Host: h, \'a b\': c, x-token: "hunter2\\r\\nx: y" }, query: { v: 5 }, auth: basic',
    );
    const found = problems(() => load(wrong)).join('\n');
    expect(found.split('\n')).toHaveLength(5);
    expect(found).toMatch(/headers\.Host: expected no header that Millrace sets/);
    expect(found).not.toContain('hunter2');
  });
});
