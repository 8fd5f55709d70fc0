/** `holdfast serve` from nothing, on new files, until its health is answered: each a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { summary, table } from './measure.ts'

const CLI = join(import.meta.dirname, '..', 'dist', 'cli', 'main.js')
const STARTS = 10

export async function serverStart(folder: string): Promise<string> {
  const times: number[] = []
  for (let i = 0; i < STARTS; i++) times.push(await start(join(folder, `serve-${i}`)))
  const { medianUs, spreadUs } = summary(times)
  const cells = [medianUs, spreadUs / 2].map((us) => (us / 1000).toFixed(0))
  return table(['server start', 'ms', 'spread'], [['holdfast serve to its first answer', cells[0]!, `±${cells[1]!}`]])
}

async function start(dir: string): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, [CLI, 'serve', '--port', '0', '--dir', dir, '--quiet'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const response = await fetch(`${await urlOf(child)}/healthz`)
    if (!response.ok) throw new Error(`the server answered ${response.status}`)
    return (performance.now() - began) * 1000
  } finally {
    const exit = once(child, 'exit')
    if (child.kill('SIGTERM')) await exit
  }
}

async function urlOf({ stdout }: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: stdout! })) {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0]
    if (url !== undefined) return url
  }
  throw new Error('holdfast serve did not start')
}
