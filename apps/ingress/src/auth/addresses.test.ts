import { describe, expect, it } from 'vitest';
import { isLoopback, plainAddress } from './addresses.ts';

describe('loopback', () => {
  it('is 127/8 and ::1, also inside IPv6', () => {
    const local = ['127.0.0.1', '127.255.0.1', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1'];
    expect(local.every(isLoopback)).toBe(true);
    expect(['192.168.0.1', 'localhost', ''].some(isLoopback)).toBe(false);
  });
});

describe('an address that a proxy tells', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:4711', '203.0.113.7'],
    ['2001:db8::7', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:4711', '2001:db8::7'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::ffff:203.0.113.7', '::ffff:203.0.113.7'],
  ])('as %s is %s', (told, address) => {
    expect(plainAddress(told)).toBe(address);
  });

  it.each([
    undefined,
    '',
    'unknown',
    '_hidden',
    'localhost',
    '203.0.113.7:x',
    '203.0.113.256',
    '[203.0.113.7',
    '2001:db8::7]:1',
    'x'.repeat(16_000),
    `203.0.113.7${' '.repeat(16_000)}`,
  ])('as %s is none', (told) => {
    expect(plainAddress(told)).toBe('');
  });
});
