/** The process of a plugin: started apart from the host's terminal, and ended with whatever it has started. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../index.ts'
import type { Manifest } from './manifest.ts'

export type Child = ChildProcessByStdio<Writable, Readable, Readable>

export interface ChildOptions {
  readonly python?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** What the child of a host may know of the host's environment: nothing that could be a secret. */
const PASSED_ON = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'TMPDIR',
  'TEMP',
  'SystemRoot',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'REQUESTS_CA_BUNDLE',
  'NODE_EXTRA_CA_CERTS',
]
const GRACE_MS = 3_000
/** A group of its own, so that a signal reaches all of it. */
const detached = process.platform !== 'win32'
const running = new Set<Child>()

export function startChild(folder: string, manifest: Manifest, { env, python }: ChildOptions): Child {
  const [command, ...args] = commandOf(folder, manifest, python)
  const kept = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]))
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...Object.fromEntries(kept), PYTHONUNBUFFERED: '1', ...env, INSTALL_METHOD: 'local' },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached,
  })
  if (running.size === 0) process.on('exit', endAll)
  running.add(child)
  // What it has started itself may live on and hold its pipes; only now is its number certainly not another's.
  child.once('exit', () => signal(child, 'SIGKILL'))
  child.once('close', () => forget(child)).once('error', () => forget(child))
  return child
}

function commandOf(folder: string, { language, entrypoint }: Manifest, python: string | undefined): [string, ...string[]] {
  if (language === 'node') return [process.execPath, entrypoint]
  if (process.pid === 1)
    throw new HoldfastError('UNSUPPORTED', 'Dify plugins end at once where their host is process 1: give the container an init')
  // The child has another working folder.
  const own = resolve(folder, '.venv', 'bin', 'python')
  const named = python?.includes('/') === true ? resolve(python) : python
  const interpreter = named ?? (existsSync(own) ? own : 'python3')
  if (process.platform !== 'linux') return [interpreter, '-m', entrypoint]
  return [interpreter, '-I', '-S', '-c', BOUND, String(process.pid), entrypoint]
}

/**
 * Has the kernel end the plugin with its host, and then becomes the plugin. The SDK notices that its host was killed only where orphans go to
 * process 1, and elsewhere spins.
 */
const BOUND = `import os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
except Exception:
    pass
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.executable, [sys.executable, "-m", sys.argv[2]])`

function forget(child: Child): void {
  running.delete(child)
  if (running.size === 0) process.off('exit', endAll)
}

/** A host that ends without having closed anything takes its plugins along: without their input they would spin. */
function endAll(): void {
  for (const child of running) signal(child, 'SIGKILL')
}

/** Asks it to end, then ends it; resolves when it is gone. */
export async function endChild(child: Child): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<false>((resolve) => child.once('exit', () => resolve(false)))
  signal(child, 'SIGTERM')
  if (await Promise.race([ended, sleep(GRACE_MS, true, { ref: false })])) signal(child, 'SIGKILL')
  await ended
}

function signal(child: Child, name: NodeJS.Signals): void {
  try {
    if (detached) process.kill(-child.pid!, name)
    else child.kill(name)
  } catch {
    // It has ended.
  }
}
