/** Ports of our own: below those that outgoing connections take, so that a server that was stopped finds its port free again. */
import { randomInt } from 'node:crypto'
import { connect, createServer } from 'node:net'

const FROM = 20_100
const TO = 29_900
/** Standard ports in that range. */
const STANDARD = new Set([25_565, 26_257, 26_379, 27_017, 27_018, 27_019, 28_015, 28_017, 29_015])
const given = new Set<number>()

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const port = randomInt(FROM, TO)
    if (STANDARD.has(port) || given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`no free port between ${FROM} and ${TO}`)
}

export async function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort))
}

/** Whether something listens there. */
export async function isOpen(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => socket.destroy()) as Promise<boolean>
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
