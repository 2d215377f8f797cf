import { loadScript } from '../script.ts';
import type { Script } from '../script.ts';

const load = (name: string): Script => loadScript(new URL(`./lua/${name}.lua`, import.meta.url));

/** The scripts of the log. */
export const scripts = {
  seal: load('seal'),
  append: load('append'),
  finish: load('finish'),
  detach: load('detach'),
  amend: load('amend'),
  read: load('read'),
  describe: load('describe'),
  unsubscribe: load('unsubscribe'),
  pack: load('pack'),
  unpack: load('unpack'),
  tryPacking: load('try-packing'),
  remove: load('remove'),
  liveReaders: load('live-readers'),
};
