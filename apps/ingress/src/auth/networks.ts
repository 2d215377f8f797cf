import { isIPv4, isIPv6 } from 'node:net';

/**
 * The network that an address counts for. An IPv6 client has a /64 with any number of addresses; an IPv4 address that came
 * over IPv6 counts as IPv4. A text that is no address counts as itself.
 */
export function networkOf(address: string): string {
  // A link-local address names its interface.
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return address;
  const groups = groupsOf(plain);
  const mapped = groups.slice(0, 6).map(toHex).join(':') === '0:0:0:0:0:ffff';
  if (mapped) return groups.slice(6).flatMap(toBytes).join('.');
  return `${groups.slice(0, 4).map(toHex).join(':')}::/64`;
}

/** The eight numbers of an IPv6 address. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const front = read(head);
  if (tail === undefined) return front;
  const back = read(tail);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  return [...front, ...zeros, ...back];
}

const read = (part: string): number[] =>
  part === '' ? [] : part.split(':').flatMap((group) => readGroup(group));

/** The last two may be written as an IPv4 address. */
function readGroup(group: string): number[] {
  if (!isIPv4(group)) return [Number.parseInt(group, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [a * 256 + b, c * 256 + d];
}

const toHex = (group: number): string => group.toString(16);
const toBytes = (group: number): number[] => [Math.floor(group / 256), group % 256];
