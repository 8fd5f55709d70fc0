/** The command as a user has it: a child process with its own folder. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { openPersistence, type Persistence } from '../src/index.ts'
import { ROOT } from './support.ts'

export const MAIN = join(ROOT, 'src/cli/main.ts')

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface HoldfastOptions {
  readonly cwd: string
  readonly input?: string | Buffer
  readonly env?: NodeJS.ProcessEnv
}

/** Runs `holdfast` to its end. */
export async function holdfast(args: readonly string[], { cwd, input, env }: HoldfastOptions): Promise<Ran> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: cleanEnvironment(env), stdio: 'pipe' })
  child.stdin.on('error', () => undefined).end(input)
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject)),
  ])
  return { code, stdout, stderr }
}

/** Nothing of the machine's own settings, and no colours. */
export function cleanEnvironment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_') && name !== 'FORCE_COLOR')
  return { ...Object.fromEntries(inherited), NO_COLOR: '1', ...env }
}

/** The stores in a folder, as the command opens them by default. */
export function openStores(folder: string): Promise<Persistence> {
  return openPersistence({ dir: join(folder, '.holdfast'), appRoot: folder, config: false })
}
