import { BlockList, isIP, isIPv6 } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export const isLoopback = (address: string): boolean => contains(loopback, address);

/** Makes a check whether an address is one of these, or in one of these ranges. */
export function addressFilter(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => contains(list, address);
}

/** IPv4 addresses of a dual-stack socket have the form `::ffff:a.b.c.d`. */
function contains(list: BlockList, address: string): boolean {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

/** Characters of an address with its brackets, zone and port. */
const longestAddress = 100;
const withPort = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/;

/**
 * The address in a text of a socket or a proxy, which may add a port or a zone; empty if there is none: a header can hold
 * anything, and addresses are logged and counted.
 */
export function plainAddress(text: string | undefined): string {
  if (text === undefined || text.length > longestAddress) return '';
  const [, six, four] = withPort.exec(text) ?? [];
  const [address = ''] = (six ?? four ?? text).split('%');
  return isIP(address) === 0 ? '' : address;
}
