import { expect, it } from 'vitest';
import { withoutSecrets } from './log-redaction.ts';

const secret = '[redacted]';

it('fields that are named like secrets are replaced down to the third level, and no deeper', () => {
  const logged = {
    id: 'r1',
    token: 't',
    call: { headers: { authorization: 'a', 'x-api-key': 'k', accept: '*/*' }, password: 'p' },
    list: [{ secret: 's' }, { sha256: 'h' }, { secrets: ['s'] }, { name: 'n' }],
    deep: { deep: { deep: { token: 't' } } },
  };
  expect(withoutSecrets(logged, 3)).toEqual({
    id: 'r1',
    token: secret,
    call: {
      headers: { authorization: secret, 'x-api-key': secret, accept: '*/*' },
      password: secret,
    },
    list: [{ secret }, { sha256: secret }, { secrets: secret }, { name: 'n' }],
    deep: { deep: { deep: { token: 't' } } },
  });
});

it('what is logged is not changed, and not copied where it has no secret', () => {
  const inner = { model: 'm' };
  const logged = { inner, call: { cookie: 'c' } };
  const plain = withoutSecrets(logged, 3);
  expect(logged.call.cookie).toBe('c');
  expect(plain.inner).toBe(inner);
  expect(withoutSecrets(inner, 3)).toBe(inner);
});
