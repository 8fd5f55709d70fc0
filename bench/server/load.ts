/** A process that asks a server as fast as it answers: raw sockets, so that the asking costs little of the machine. */
import { connect, type Socket } from 'node:net'

export interface Load {
  readonly port: number
  readonly connections: number
  readonly ms: number
  /** Whole requests, as they go over the wire; each connection sends them in turn. */
  readonly requests: readonly string[]
}

export interface Loaded {
  readonly perSecond: number
  /** Milliseconds from a request's first byte to its answer's last. */
  readonly p50: number
  readonly p99: number
}

const HEAD_END = Buffer.from('\r\n\r\n')

async function load({ port, connections, ms, requests }: Load): Promise<Loaded> {
  const until = performance.now() + ms
  const began = performance.now()
  const buffers = requests.map((text) => Buffer.from(text, 'latin1'))
  const times = await Promise.all(Array.from({ length: connections }, (_, i) => ask(port, buffers, i, until)))
  const seconds = (performance.now() - began) / 1_000
  const sorted = Float64Array.from(times.flat()).toSorted()
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  return { perSecond: sorted.length / seconds, p50: at(0.5), p99: at(0.99) }
}

function ask(port: number, requests: readonly Buffer[], first: number, until: number): Promise<number[]> {
  const { promise, resolve, reject } = Promise.withResolvers<number[]>()
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const times: number[] = []
  let turn = first
  let sent = 0
  const send = (): void => {
    sent = performance.now()
    if (sent >= until) socket.end(() => resolve(times))
    else socket.write(requests[turn++ % requests.length]!)
  }
  socket.on('connect', send).on('error', reject)
  onAnswers(socket, (status) => {
    if (status >= 300) reject(new Error(`answered ${status}`))
    times.push(performance.now() - sent)
    send()
  })
  return promise
}

/** One call for each whole answer; all that are asked for declare their length. */
function onAnswers(socket: Socket, answered: (status: number) => void): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    for (let end = pending.indexOf(HEAD_END); end >= 0; end = pending.indexOf(HEAD_END)) {
      const head = pending.toString('latin1', 0, end)
      const total = end + HEAD_END.length + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (pending.length < total) return
      pending = pending.subarray(total)
      answered(Number(head.slice(9, 12)))
    }
  })
}

process.on('message', (asked: Load) => {
  load(asked).then(
    (loaded) => process.send!(loaded),
    (error: Error) => process.send!({ error: error.message }),
  )
})
