/** `holdfast serve` as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { cleanEnvironment, MAIN } from '../cli-support.ts'
import { exec } from '../support.ts'

export interface Command {
  readonly child: ChildProcess
  readonly url: string
  /** What it has printed. */
  said(): string
  complained(): string
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** Starts it, waits until it says where it listens, and ends it with the test. */
export async function command(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Command> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Awaited<Command['ended']>)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
    const url = /listens on (\S+)\n[^]*Ctrl-C/.exec(out)?.[1]
    if (url !== undefined) resolve(url)
  })
  child.once('close', () => reject(new Error(`holdfast serve ended: ${err}`)))
  return { child, url: await promise, said: () => out, complained: () => err, ended }
}

/** What a command of the shell prints. */
export async function runInShell(text: string): Promise<string> {
  return (await exec('bash', ['-ec', text.replace('curl', 'curl -sS')])).stdout
}
