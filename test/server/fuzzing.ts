/** Requests that are wrong in one way or several, the same ones for the same seed. */

export interface Fuzzed {
  readonly bytes: Buffer
  /** The framing is right, so that an answer must come. */
  readonly isWhole: boolean
}

/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }
}

/** A request that would be right: `body` as JSON, or bytes. */
export interface Good {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly body?: unknown
}

const TEXTS = [
  '',
  '*',
  '%',
  "'; DROP TABLE sessions; --",
  '../../etc/passwd',
  '\0',
  '\ud800',
  '__proto__',
  'constructor',
  'w:victim',
  'victim',
  't:',
  'e:',
  'p:x',
  'a/b',
  '🔑',
  'x'.repeat(600),
  '$ne',
  '{"$gt":""}',
  '${7*7}',
  '-0',
  '1e999',
  'null',
]
const VALUES: readonly unknown[] = [
  ...TEXTS,
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  -Number.MAX_SAFE_INTEGER - 2,
  [],
  {},
  [[]],
  [null],
  { $ne: null },
  { op: 'not', node: { op: 'and', nodes: [] } },
  { bytes: '%%%' },
]
const METHODS = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'BREW', 'get', 'CONNECT', '']
const HEADER_LINES = [
  'content-length: 5',
  'content-length: -1',
  'content-length: 99999999999999999999',
  'transfer-encoding: chunked',
  'transfer-encoding: identity',
  'Transfer-Encoding : chunked',
  'content-type: text/plain',
  'content-type: application/json; charset=utf-16',
  'content-encoding: gzip',
  'expect: 100-continue',
  'expect: 200-ok',
  'connection: upgrade',
  'upgrade: websocket',
  'host: evil.example',
  'authorization: Basic YTpi',
  'authorization: Bearer hf_0000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  'if-match: *',
  'if-none-match: "x"',
  'range: bytes=5-1',
  'range: bytes=-',
  'range: bytes=99999999999999999999-',
  'holdfast-ttl: NaN',
  'holdfast-timeout-ms: 1',
  'holdfast-timeout-ms: -5',
  'x-request-id: \x01\x02',
  'x-http-method-override: DELETE',
  ': nameless',
  'no colon',
  ' folded: 1',
  'bad name: 1',
  'x: \x00',
  `x: ${'y'.repeat(20_000)}`,
]

export class Fuzzer {
  readonly #random: Random
  readonly #goods: readonly Good[]
  readonly #headers: string

  /** `headers` are lines that every request has, such as the token's. */
  constructor(seed: number, goods: readonly Good[], headers: string) {
    this.#random = new Random(seed)
    this.#goods = goods
    this.#headers = headers
  }

  next(): Fuzzed {
    const random = this.#random
    const make = random.of([
      this.#wrongValues,
      this.#wrongValues,
      this.#wrongJson,
      this.#wrongQuery,
      this.#wrongHead,
      this.#wrongBytes,
      this.#noise,
    ])
    return make.call(this)
  }

  /** JSON whose members are of the wrong type, missing, too many or hostile. */
  #wrongValues(): Fuzzed {
    const good = this.#random.of(this.#goods)
    const body = good.body === undefined || good.body instanceof Uint8Array ? good.body : this.#changed(good.body)
    return this.#whole(good, good.query, body === undefined ? undefined : encoded(body))
  }

  /** A body that is no JSON, or no UTF-8. */
  #wrongJson(): Fuzzed {
    const good = this.#random.of(this.#goods.filter(({ body }) => body !== undefined && !(body instanceof Uint8Array)))
    return this.#whole(good, good.query, this.#mutated(encoded(good.body), 1 + this.#random.below(4)))
  }

  #wrongQuery(): Fuzzed {
    const random = this.#random
    const good = random.of(this.#goods)
    const query: Record<string, string> = { ...good.query }
    for (const name of [...Object.keys(query), 'limit', 'cursor', 'after', 'order', 'prefix', 'extra']) {
      if (random.chance(0.15)) query[name] = random.of(TEXTS)
      if (random.chance(0.1)) delete query[name]
    }
    return this.#whole(good, query, good.body === undefined ? undefined : encoded(good.body))
  }

  /** Methods, paths and headers that do not belong together. */
  #wrongHead(): Fuzzed {
    const random = this.#random
    const good = random.of(this.#goods)
    const lines = Array.from({ length: 1 + random.below(3) }, () => `${random.of(HEADER_LINES)}\r\n`).join('')
    const path = random.of([
      good.path,
      `${good.path}/`,
      good.path.toUpperCase(),
      `/${random.of(TEXTS)}`,
      '*',
      'http://x/',
      '//',
      '/..',
      '/\\',
    ])
    const body = random.chance(0.5) ? random.of(['', 'x', '{}', '0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n', 'zz\r\n']) : ''
    const text = `${random.of(METHODS)} ${path}${queryText(good.query)} ${random.of(['HTTP/1.1', 'HTTP/1.0', 'HTTP/2', 'HTTP/9.9', ''])}\r\n${this.#headers}${lines}\r\n${body}`
    return { bytes: Buffer.from(text, 'utf8'), isWhole: false }
  }

  /** A good request with some of its bytes changed, lost or doubled. */
  #wrongBytes(): Fuzzed {
    const good = this.#random.of(this.#goods)
    const { bytes } = this.#whole(good, good.query, good.body === undefined ? undefined : encoded(good.body))
    return { bytes: this.#mutated(bytes, 1 + this.#random.below(6)), isWhole: false }
  }

  #noise(): Fuzzed {
    const bytes = this.#random.bytes(1 + this.#random.below(300))
    return { bytes: this.#random.chance(0.5) ? Buffer.concat([bytes, Buffer.from('\r\n\r\n')]) : bytes, isWhole: false }
  }

  #whole({ method, path }: Good, query: Readonly<Record<string, string>>, body: Buffer | undefined): Fuzzed {
    const type = this.#random.chance(0.9) ? 'content-type: application/json\r\n' : ''
    const length = body === undefined ? '' : `${type}content-length: ${body.length}\r\n`
    const head = `${method} ${path}${queryText(query)} HTTP/1.1\r\n${this.#headers}${length}\r\n`
    return { bytes: Buffer.concat([Buffer.from(head, 'latin1'), body ?? Buffer.alloc(0)]), isWhole: true }
  }

  #changed(value: unknown): unknown {
    const random = this.#random
    if (random.chance(0.04)) return random.of(VALUES)
    if (Array.isArray(value)) {
      const items = value.map((item) => this.#changed(item))
      return random.chance(0.2) ? [...items, ...items, random.of(VALUES)] : items
    }
    if (typeof value !== 'object' || value === null) return random.chance(0.1) ? random.of(VALUES) : value
    const members = Object.entries(value)
      .filter(() => !random.chance(0.03))
      .map(([name, member]): [string, unknown] => [name, this.#changed(member)])
    if (random.chance(0.04)) members.push([random.of(TEXTS), random.of(VALUES)])
    return Object.fromEntries(members)
  }

  #mutated(bytes: Buffer, changes: number): Buffer {
    const random = this.#random
    let result = bytes
    for (let i = 0; i < changes; i++) {
      const at = random.below(result.length + 1)
      const [before, behind] = [result.subarray(0, at), result.subarray(at)]
      const piece = random.of([
        random.bytes(1 + random.below(4)),
        Buffer.from([0xc0, 0xaf]),
        Buffer.from('\r\n'),
        Buffer.from('"'),
        Buffer.from('{'),
      ])
      const change = random.below(4)
      if (change === 0) result = Buffer.concat([before, piece, behind])
      else if (change === 1) result = Buffer.concat([before, behind.subarray(1 + random.below(8))])
      else if (change === 2) result = Buffer.concat([before, piece, behind.subarray(piece.length)])
      else result = before.length === 0 ? behind : Buffer.concat([before, before.subarray(-random.below(30) - 1), behind])
    }
    return result
  }
}

/** Lone surrogates go out as the three bytes that they are in WTF-8, which no decoder takes. */
function queryText(query: Readonly<Record<string, string>>): string {
  const encode = (text: string): string => (text.isWellFormed() ? encodeURIComponent(text) : '%ed%a0%80')
  return `?${Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&')}`
}

function encoded(body: unknown): Buffer {
  return body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(JSON.stringify(body) ?? '')
}
