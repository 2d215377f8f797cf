import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './roles.ts';

/*
 * Coding agents as clients. They are hundreds of megabytes, so they are no packages of the project: the first test that
 * needs one installs it, at an exact version, into a folder that later runs find again.
 */

const agents = {
  claude: { name: '@anthropic-ai/claude-code', version: '2.1.332' },
} as const;

export type AgentName = keyof typeof agents;

/** The folder of the agent's platform package. */
const binaries: Readonly<Record<AgentName, string>> = {
  claude: `@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`,
};

/** Milliseconds for the download. */
const installMs = 300_000;

/** The agent's program; undefined where it cannot be installed: without a registry, or on an unknown platform. */
export async function ensureAgent(agent: AgentName): Promise<string | undefined> {
  const { name, version } = agents[agent];
  const folder = join(root, '.millrace', 'agents', `${agent}-${version}`);
  const program = join(folder, 'node_modules', binaries[agent]);
  if (existsSync(program)) return program;
  await mkdir(join(folder, '..'), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(fresh, 'package.json'), '{"private":true}');
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${name}@${version}`];
    const ended = await runToEnd('npm', args, { cwd: fresh, env: process.env, ms: installMs });
    if (ended.code !== 0 || !existsSync(join(fresh, 'node_modules', binaries[agent]))) {
      return undefined;
    }
    // Another run may have been faster.
    if (!existsSync(folder)) await rename(fresh, folder);
    return program;
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
