/** Programs that run to their end: what they print, or an error with everything they said. */
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly timeoutMs?: number
  readonly input?: string
}

/** Standard output of a program that ended well. */
export async function output(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [command, ...args] = argv
  const child = spawn(command!, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    timeout: options.timeoutMs ?? 20_000,
    killSignal: 'SIGKILL',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A program that ends without reading is judged by its exit code.
  child.stdin.on('error', () => undefined).end(options.input)
  const ended = new Promise<string | number | null>((resolve, reject) => {
    child.once('close', (code, signal) => resolve(signal ?? code)).once('error', reject)
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr.trim() || stdout.trim()}`)
  return stdout
}

/** Runs a long program whose output goes to a log; where it fails, the error holds the end of what it said. */
export async function logged(argv: readonly string[], log: string, options: CommandOptions = {}): Promise<void> {
  const [command, ...args] = argv
  const child = spawn(command!, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const file = createWriteStream(log, { flags: 'a' })
  let tail = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-2_000)
      file.write(chunk)
    })
  }
  const code = await new Promise<string | number | null>((resolve, reject) => {
    child.once('close', (exit, signal) => resolve(signal ?? exit)).once('error', reject)
  })
  await pipeline([], file)
  if (code !== 0) throw new Error(`${command} ended with ${code}, all of it in ${log}:\n${tail.trim()}`)
}

export async function hasCommand(name: string): Promise<boolean> {
  return output(['sh', '-c', 'command -v -- "$1"', 'sh', name]).then(
    () => true,
    () => false,
  )
}
