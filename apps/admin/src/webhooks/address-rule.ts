import ipaddr from 'ipaddr.js';

/**
 * Why a webhook must not go to an address, in words; undefined for a public one. Only unicast addresses of the Internet pass: an
 * IPv4 address inside an IPv6 one (mapped, compatible, translated, tunnelled) counts as private, whatever it is.
 */
export function addressProblem(address: string): string | undefined {
  if (!ipaddr.isValid(address)) return 'no IP address';
  const parsed = ipaddr.parse(address);
  const range = parsed.range();
  if (range !== 'unicast') return wordsOf(range);
  if (parsed.kind() === 'ipv4') return undefined;
  // The only addresses that IANA has given out; ::/96 and the rest of ::/3 are not among them.
  return parsed.match(globalUnicast) ? undefined : 'no global unicast address';
}

const globalUnicast = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

/** `carrierGradeNat` as `a carrier grade nat address`. */
const wordsOf = (range: string): string => {
  const words = range.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${/^(a|e|i|o|un[^i])/.test(words) ? 'an' : 'a'} ${words} address`;
};
