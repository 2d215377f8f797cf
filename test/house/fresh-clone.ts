import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildProcess } from 'node:child_process';
import { spawnChild } from '../kit/child.ts';
import type { Child } from '../kit/child.ts';

const root = join(import.meta.dirname, '../..');

/** What `npm ci` leaves behind, without a network: npm's account of the packages, and a Node. */
const fakeNpm = `
import { appendFileSync, copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
const [clone, mode] = [process.cwd(), process.env.FAKE_NPM ?? 'works'];
appendFileSync(clone + '/npm.log', process.pid + ' ' + process.argv.slice(2).join(' ') + '\\n');
if (mode === 'fails') process.exit(1);
while (mode === 'waits' && !existsSync(clone + '/go')) await new Promise((done) => setTimeout(done, 10));
rmSync(clone + '/node_modules', { recursive: true, force: true });
mkdirSync(clone + '/node_modules/.bin', { recursive: true });
symlinkSync(process.execPath, clone + '/node_modules/.bin/node');
copyFileSync(clone + '/package-lock.json', clone + '/node_modules/.package-lock.json');
`;

const lock = (version: string): string =>
  JSON.stringify({
    lockfileVersion: 3,
    packages: {
      '': { name: 'clone' },
      'node_modules/some': { version, integrity: `sha512-${version}` },
      'node_modules/other-platform': { version, optional: true, os: ['aix'] },
    },
  });

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcess;
  pid: number;
  /** Resolves with everything written to standard error so far, once it holds `text`. */
  says(text: string): Promise<string>;
  ended: Promise<Ended>;
}

/** A clone in a temporary folder in which nothing was installed, and an npm that needs no network. */
export class FreshClone implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-clone-'));
  readonly bin = join(this.folder, 'machine-bin');
  private readonly children: Child[] = [];

  constructor() {
    cpSync(join(root, 'scripts'), join(this.folder, 'scripts'), { recursive: true });
    mkdirSync(this.bin);
    mkdirSync(join(this.folder, 'npm'));
    writeFileSync(join(this.folder, 'npm/package.json'), '{"type":"module"}');
    writeFileSync(join(this.folder, 'npm/npm-cli.js'), fakeNpm);
    this.changeDependencies('1.0.0');
  }

  changeDependencies(version: string): void {
    this.write('package-lock.json', lock(version));
  }

  write(name: string, content: string): void {
    writeFileSync(join(this.folder, name), content);
  }

  /** What a set-up leaves behind, without one: for tests of what comes after the packages. */
  installPackages(): void {
    mkdirSync(join(this.folder, 'node_modules/.bin'), { recursive: true });
    symlinkSync(process.execPath, join(this.folder, 'node_modules/.bin/node'));
    copyFileSync(
      join(this.folder, 'package-lock.json'),
      join(this.folder, 'node_modules/.package-lock.json'),
    );
  }

  /** Puts an executable on the machine's PATH, before everything else. */
  install(name: string, script: string): void {
    const path = join(this.bin, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  }

  /** One line per call of npm: process id and arguments. */
  npmCalls(): string[] {
    const log = join(this.folder, 'npm.log');
    // Whole lines: the last one may be on its way.
    return existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
  }

  /** Resolves with the process id of npm, once it runs. */
  async npmRuns(): Promise<number> {
    while (this.npmCalls().length === 0) await sleep(10);
    return Number.parseInt(this.npmCalls()[0] ?? '', 10);
  }

  setup(args: string[] = [], env: Record<string, string> = {}): Started {
    return this.start([process.execPath, 'scripts/setup.mjs', ...args], env);
  }

  start([command = '', ...args]: string[], env: Record<string, string> = {}): Started {
    const child = spawnChild({
      name: command,
      command,
      args,
      cwd: this.folder,
      env: {
        PATH: `${this.bin}${delimiter}${process.env.PATH ?? ''}`,
        TMPDIR: this.folder,
        npm_node_execpath: process.execPath,
        npm_execpath: join(this.folder, 'npm/npm-cli.js'),
        ...env,
      },
    });
    this.children.push(child);
    return {
      child: child.process,
      pid: child.pid,
      says: async (text) => {
        while (!`${child.stdout}${child.stderr}`.includes(text)) {
          await child.whileItLives(sleep(10));
        }
        return child.stderr;
      },
      ended: child.exited.then((code) => ({ code, stdout: child.stdout, stderr: child.stderr })),
    };
  }

  [Symbol.dispose](): void {
    for (const child of this.children) child.process.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
