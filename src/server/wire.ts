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

export function guardWire(server: Server, listener: RequestListener, refuse: Refuse): void {
  const answers = new WeakMap<Duplex, ServerResponse>()
  server.on('request', ({ socket }, outgoing) => void answers.set(socket, outgoing))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const problem = error.code === 'ECONNRESET' ? undefined : refuse(BY_CODE[error.code ?? ''] ?? MALFORMED, addressOf(socket))
    // Nothing may come into the middle of an answer.
    if (problem === undefined || !socket.writable || isAnswering(answers.get(socket))) socket.destroy()
    else socket.end(rawAnswer(problem))
  })
  server.on('connect', (_, socket) => socket.end(rawAnswer(refuse(CONNECT, addressOf(socket)), CONNECT.headers)))
  // It is told to go on once its body is wanted, and not before it is known who asks.
  server.on('checkContinue', (incoming, outgoing) => {
    answers.set(incoming.socket, outgoing)
    listener(incoming, outgoing)
  })
  server.on('checkExpectation', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const problem = refuse(EXPECTATION, incoming.socket.remoteAddress)
    outgoing.writeHead(problem.status, { 'content-type': PROBLEM_TYPE, connection: 'close' }).end(JSON.stringify(problem))
  })
}

function isAnswering(outgoing: ServerResponse | undefined): boolean {
  return outgoing !== undefined && outgoing.headersSent && !outgoing.writableFinished
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
