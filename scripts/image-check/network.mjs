// A network with an address for each container, in the network namespace of this process (main.mjs enters a new one).

import { execFileSync } from 'node:child_process';

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 2, 2] });
const bridge = 'millrace';
let last = 1;

export function openNetwork() {
  execFileSync('mkdir', ['-p', '/run/netns']);
  // Names of namespaces are files there, which end with this mount.
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run/netns']);
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', bridge, 'type', 'bridge');
  ip('addr', 'add', '172.31.0.1/24', 'dev', bridge);
  ip('link', 'set', bridge, 'up');
}

/** @returns {{ namespace: string, address: string }} a namespace that only this address reaches */
export function addHost() {
  const number = (last += 1);
  const namespace = `host${number}`;
  const address = `172.31.0.${number}`;
  ip('netns', 'add', namespace);
  ip('link', 'add', `veth${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  ip('link', 'set', `veth${number}`, 'master', bridge, 'up');
  ip('-n', namespace, 'link', 'set', 'lo', 'up');
  ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  return { namespace, address };
}
