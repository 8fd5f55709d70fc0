/** `holdfast serve` as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { cleanEnvironment, MAIN } from '../cli-support.ts'
import { exec } from '../support.ts'

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Command {
  readonly child: ChildProcess
  readonly url: string
  /** What it has printed. */
  said(): string
  complained(): string
  readonly ended: Promise<End>
  /** Ends it as operators do, and resolves when it has ended. */
  end(): Promise<End>
}

/** Starts it, and waits until it says where it listens. */
export async function startCommand(args: readonly string[], cwd: string): Promise<Command> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk))
  const ended: Promise<End> = once(child, 'close').then(([code, signal]) => ({ code, signal }))
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    out += chunk
    const url = /listens on (\S+)\n[^]*Ctrl-C/.exec(out)?.[1]
    if (url !== undefined) resolve(url)
  })
  child.once('close', () => reject(new Error(`holdfast serve ended: ${err}`)))
  const end = (): Promise<End> => {
    child.kill('SIGTERM')
    return ended
  }
  return { child, url: await promise, said: () => out, complained: () => err, ended, end }
}

/** The same, which ends with the test. */
export async function command(args: readonly string[], cwd: string): Promise<Command> {
  const started = await startCommand(args, cwd)
  onTestFinished(async () => {
    started.child.kill('SIGKILL')
    await started.ended
  })
  return started
}

/** What a command of the shell prints. */
export async function runInShell(text: string): Promise<string> {
  return (await exec('bash', ['-ec', text.replace('curl', 'curl -sS')])).stdout
}
