import { expect, test } from 'vitest';
import { addressProblem } from './address-rule.ts';

test.each([
  ['loopback', '127.0.0.1'],
  ['loopback', '127.255.255.254'],
  ['loopback', '::1'],
  ['private', '10.0.0.1'],
  ['private', '172.16.0.1'],
  ['private', '172.31.255.255'],
  ['private', '192.168.1.1'],
  ['link-local, with the metadata of clouds', '169.254.169.254'],
  ['link-local', 'fe80::1'],
  ['link-local with a zone', 'fe80::1%eth0'],
  ['of a carrier NAT', '100.64.0.1'],
  ['of a carrier NAT', '100.127.255.255'],
  ['multicast', '224.0.0.1'],
  ['multicast', 'ff02::1'],
  ['broadcast', '255.255.255.255'],
  ['unspecified', '0.0.0.0'],
  ['of this network', '0.1.2.3'],
  ['unspecified', '::'],
  ['reserved', '240.0.0.1'],
  ['for benchmarks', '198.18.0.1'],
  ['for documentation', '192.0.2.1'],
  ['for documentation', '2001:db8::1'],
  ['unique local', 'fd12:3456::1'],
  ['site-local', 'fec0::1'],
  ['v4-mapped', '::ffff:127.0.0.1'],
  ['v4-mapped in hex', '::ffff:7f00:1'],
  ['v4-mapped and public', '::ffff:8.8.8.8'],
  ['v4-compatible', '::127.0.0.1'],
  ['translated (NAT64)', '64:ff9b::7f00:1'],
  ['translated locally', '64:ff9b:1::7f00:1'],
  ['6to4 of a private address', '2002:7f00:1::'],
  ['Teredo', '2001:0:7f00:1::'],
  ['not given out', '4000::1'],
  ['no address', 'localhost'],
])('refuses an address that is %s: %s', (_, address) => {
  expect(addressProblem(address)).toEqual(expect.any(String));
});

test.each(['8.8.8.8', '172.32.0.1', '100.63.255.255', '100.128.0.1', '2606:4700:4700::1111'])(
  'allows the public address %s',
  (address) => {
    expect(addressProblem(address)).toBeUndefined();
  },
);

test('says what an address is', () => {
  expect(addressProblem('127.0.0.1')).toBe('a loopback address');
  expect(addressProblem('fd00::1')).toBe('a unique local address');
});
