import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './roles.ts';

/*
 * Coding agents as clients. They are hundreds of megabytes, so they are no packages of the project: the first test that
 * needs one installs it, at an exact version, into a folder that later runs find again.
 */

const agents = {
  claude: { name: '@anthropic-ai/claude-code', version: '2.1.332' },
  codex: { name: '@openai/codex', version: '0.171.0' },
} as const;

export type AgentName = keyof typeof agents;

/** The platform's part of Rust's target triples. */
const rustPlatforms: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'unknown-linux-musl',
  darwin: 'apple-darwin',
};
const rustTarget = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-${rustPlatforms[process.platform]}`;

/** Each agent's program, within the folder of its platform package. */
const binaries: Readonly<Record<AgentName, string>> = {
  claude: `@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`,
  codex: `@openai/codex-${process.platform}-${process.arch}/vendor/${rustTarget}/bin/codex`,
};

/** Milliseconds for the download. */
const installMs = 300_000;

/** The agent's program; undefined where it cannot be installed: without a registry, or on an unknown platform. */
export async function ensureAgent(agent: AgentName): Promise<string | undefined> {
  const { name, version } = agents[agent];
  const file = join('node_modules', binaries[agent]);
  return ensureInstalled(`${agent}-${version}`, [`${name}@${version}`], file);
}

/**
 * Installs packages into a folder that later runs find again, and returns a file of it; undefined if it cannot be made.
 * `entry`: the text of an `index.mjs` beside the packages.
 */
export async function ensureInstalled(
  folderName: string,
  packages: readonly string[],
  file: string,
  entry = '',
): Promise<string | undefined> {
  const folder = join(root, '.millrace', 'agents', folderName);
  const found = join(folder, file);
  if (existsSync(found)) return found;
  await mkdir(join(folder, '..'), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(fresh, 'package.json'), '{"private":true}');
    await writeFile(join(fresh, 'index.mjs'), entry);
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...packages];
    const ended = await runToEnd('npm', args, { cwd: fresh, env: process.env, ms: installMs });
    if (ended.code !== 0 || !existsSync(join(fresh, file))) return undefined;
    // Another run may have been faster.
    if (!existsSync(folder)) await rename(fresh, folder);
    return found;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

export type AgentRun = { code: number | null; stdout: string; stderr: string };

type RunOptions = { cwd: string; env: NodeJS.ProcessEnv; ms: number };

/** Runs Claude Code in print mode in an empty folder, with tools that run without asking. */
export async function runClaude(
  program: string,
  { url, model, prompt }: { url: string; model: string; prompt: string },
): Promise<AgentRun> {
  const home = await mkdtemp(join(tmpdir(), 'millrace-claude-'));
  try {
    return await runToEnd(
      program,
      ['-p', prompt, '--model', model, '--output-format', 'json', '--allowedTools', 'Bash,Read'],
      {
        cwd: home,
        env: {
          PATH: process.env['PATH'],
          HOME: home,
          ANTHROPIC_BASE_URL: url,
          ANTHROPIC_API_KEY: 'none',
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
          DISABLE_AUTOUPDATER: '1',
        },
        ms: 80_000,
      },
    );
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

export type CodexTask = {
  url: string;
  model: string;
  prompt: string;
  /** It sends its requests over one WebSocket, in place of one HTTP request each. */
  overWebSocket?: boolean;
};

/**
 * Runs Codex in print mode in an empty folder, with tools that run without asking.
 *
 * Simulated models fill every text among a tool's arguments with the word `simulated`, so the command, its shell and its
 * folder all have this name: a program that notes its run. `runs`: how often it ran.
 */
export async function runCodex(
  program: string,
  { url, model, prompt, overWebSocket = false }: CodexTask,
): Promise<AgentRun & { runs: number }> {
  const home = await mkdtemp(join(tmpdir(), 'millrace-codex-'));
  const [work, commands, notes] = ['work', 'bin', 'notes'].map((name) => join(home, name)) as [
    string,
    string,
    string,
  ];
  try {
    await mkdir(join(work, 'simulated'), { recursive: true });
    await mkdir(commands);
    await writeFile(join(commands, 'simulated'), `#!/bin/sh\necho ran | tee -a '${notes}'\n`, {
      mode: 0o755,
    });
    const path = `${commands}:${process.env['PATH']}`;
    // Login shells set their own PATH before they read these.
    for (const profile of ['.profile', '.zprofile']) {
      await writeFile(join(home, profile), `PATH='${path}'\n`);
    }
    await writeFile(
      join(home, 'config.toml'),
      `model = "${model}"
model_provider = "millrace"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.millrace]
name = "Millrace"
base_url = "${url}/v1"
wire_api = "responses"
supports_websockets = ${overWebSocket}
`,
    );
    const run = await runToEnd(
      program,
      ['exec', '--json', '--skip-git-repo-check', unguarded, prompt],
      { cwd: work, env: { PATH: path, HOME: home, CODEX_HOME: home }, ms: 80_000 },
    );
    const noted = await readFile(notes, 'utf8').catch(() => '');
    return { ...run, runs: noted.split('\n').length - 1 };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** Codex's flag that runs tools without asking and without a sandbox. */
const unguarded = '--dangerously-bypass-approvals-and-sandbox';

function runToEnd(program: string, args: string[], options: RunOptions): Promise<AgentRun> {
  const { ms, ...more } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...more,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: AbortSignal.timeout(ms),
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
