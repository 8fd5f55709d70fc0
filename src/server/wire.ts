/** The side of HTTP where requests are not requests yet: what Node refuses is answered and noted like all else. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { HttpProblem, PROBLEM_TYPE, type Problem } from './problem.ts'

/** Notes a refusal, and says how to put it. */
export type Refuse = (error: unknown, address: string | undefined) => Problem

const OVERFLOW = new HttpProblem('VALUE_TOO_LARGE', 'the headers are too long', 431)
const SLOW = new HttpProblem('TIMEOUT', 'the request did not come in time', 408)
const MALFORMED = new HttpProblem('INVALID_ARGUMENT', 'that is not HTTP as it should be')
const CONNECT = new HttpProblem('UNSUPPORTED', 'this is no proxy', 405, { allow: 'GET, HEAD, POST, PUT, PATCH, DELETE' })
const EXPECTATION = new HttpProblem('INVALID_ARGUMENT', 'the only expectation is 100-continue', 417)

const BY_CODE: Readonly<Record<string, HttpProblem>> = {
  HPE_HEADER_OVERFLOW: OVERFLOW,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: new HttpProblem('VALUE_TOO_LARGE', 'the chunk extensions are too long', 413),
  ERR_HTTP_REQUEST_TIMEOUT: SLOW,
}

/** What is refused ends its connection at the latest so many milliseconds after the answer, whatever the other side does. */
const LINGER_MS = 1_000

export function guardWire(server: Server, listener: RequestListener, refuse: Refuse): void {
  const answers = new WeakMap<Duplex, ServerResponse>()
  const refused = new WeakSet<Duplex>()
  server.on('request', ({ socket }, outgoing) => void answers.set(socket, outgoing))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Whatever follows what has been refused is not looked at any more.
    if (refused.has(socket) || !isProtocol(error.code)) socket.destroy()
    else conclude(socket, answers.get(socket), rawAnswer(refuse(BY_CODE[error.code] ?? MALFORMED, addressOf(socket))))
    refused.add(socket)
  })
  server.on('connect', (_, socket) => {
    // From here on Node does not listen to the connection, and an error that nobody hears ends the process.
    socket.on('error', () => undefined)
    conclude(socket, answers.get(socket), rawAnswer(refuse(CONNECT, addressOf(socket)), CONNECT.headers))
  })
  // It is told to go on once its body is wanted, and not before it is known who asks.
  server.on('checkContinue', (incoming, outgoing) => {
    answers.set(incoming.socket, outgoing)
    listener(incoming, outgoing)
  })
  server.on('checkExpectation', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    answers.set(incoming.socket, outgoing)
    const problem = refuse(EXPECTATION, incoming.socket.remoteAddress)
    outgoing.writeHead(problem.status, { 'content-type': PROBLEM_TYPE, connection: 'close' }).end(JSON.stringify(problem))
  })
}

/** The other errors are those of a connection that is gone. */
function isProtocol(code: string | undefined): code is string {
  return code !== undefined && /^(?:HPE|ERR_HTTP)_/.test(code)
}

/** Says it behind the answers that are under way: nothing may come into the middle of one, or be taken for one. */
function conclude(socket: Duplex, last: ServerResponse | undefined, answer: string): void {
  if (last === undefined || last.closed) return end(socket, answer)
  if (last.req.complete) return void last.once('close', () => end(socket, answer))
  // It is the body of the last request that is wrong.
  if (last.headersSent || last.socket === null) return void socket.destroy()
  end(socket, answer)
}

function end(socket: Duplex, answer: string): void {
  if (!socket.writable) return void socket.destroy()
  socket.end(answer)
  const late = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(late))
}

function rawAnswer(problem: Problem, headers: Readonly<Record<string, string>> = {}): string {
  const body = JSON.stringify(problem)
  const lines = Object.entries({
    'content-type': PROBLEM_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': problem.requestId,
    connection: 'close',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${problem.status} ${problem.title}\r\n${lines.join('')}\r\n${body}`
}

function addressOf(socket: Duplex): string | undefined {
  return 'remoteAddress' in socket ? String(socket.remoteAddress) : undefined
}
