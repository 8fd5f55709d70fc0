import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { HoldfastError } from '../src/errors.ts'
import { checkOptions, type OptionsSchema } from '../src/store/options.ts'

interface Options {
  readonly url?: string
  readonly host: string
  readonly port?: number
  readonly ratio?: number
  readonly secure?: boolean
  readonly mode?: 'fast' | 'safe'
  readonly client?: unknown
  readonly headers?: object
  readonly log?: (line: string) => void
}

const schema: OptionsSchema<Options> = {
  url: {
    type: 'string',
    description: 'Where.',
    check: (url: string) => (url.startsWith('x:') ? undefined : 'must begin with x:'),
  },
  host: { type: 'string', description: 'Which machine.', required: true, env: 'T_HOST' },
  port: { type: 'integer', description: 'Which port.', default: 5432, min: 1, max: 65535, env: 'T_PORT' },
  ratio: { type: 'number', description: 'How much.', min: 0, max: 1 },
  secure: { type: 'boolean', description: 'TLS.', env: 'T_SECURE' },
  mode: { type: 'string', description: 'How.', choices: ['fast', 'safe'], default: 'safe' },
  client: { type: 'any', description: 'Injected.' },
  headers: { type: 'object', description: 'Sent along.' },
  log: { type: 'function', description: 'Called for each line.' },
}
const check = (given: unknown, env: Record<string, string> = {}): Options => checkOptions(schema, given, 'options of x', env)

function problems(given: unknown, env: Record<string, string> = {}): string {
  try {
    check(given, env)
  } catch (error) {
    assert(error instanceof HoldfastError)
    assert.equal(error.code, 'INVALID_OPTIONS')
    return error.message
  }
  return assert.fail('accepted')
}

describe('checkOptions', () => {
  it('takes what fits, and fills in defaults', () => {
    const log = (): void => undefined
    const given = { host: 'h', ratio: 0.5, client: null, headers: {}, log, mode: 'fast', url: 'x:1' }
    assert.deepEqual(check(given), { ...given, port: 5432 })
    assert.deepEqual(check({ host: 'h', port: undefined }), { host: 'h', port: 5432, mode: 'safe' })
  })

  it('lists every problem at once, and shows no value', () => {
    const message = problems({
      url: 's3cret',
      port: 0,
      ratio: 2,
      secure: 's3cret',
      mode: 's3cret',
      headers: [],
      log: 1,
      hots: 's3cret',
      zzzzzz: 1,
    })
    const expected = [
      '"hots": did you mean "host"',
      '"zzzzzz" (known: url, host',
      'host is required',
      'url must begin with x:',
      'port must be at least 1',
    ]
    for (const text of [
      ...expected,
      'ratio must be at most 1',
      'secure must be a boolean',
      'mode must be one of fast, safe',
      'headers must be an object, not array',
      'log must be a function',
    ]) {
      assert(message.includes(text), `${text} is not in ${message}`)
    }
    assert(!message.includes('s3cret'))
  })

  it.each([[null], ['5'], [1.5], [Number.NaN], [Infinity], [65536], [{}]])('refuses %s as a port', (port) => {
    assert.match(problems({ host: 'h', port }), /port must be/)
  })

  it('does not take null for left out', () => {
    assert.match(problems({ host: null }), /host must be a string, not null/)
  })
})

describe('checkOptions and the environment', () => {
  it('completes options from the environment, an argument first, an empty variable counting as none', () => {
    assert.deepEqual(check({}, { T_HOST: 'e', T_PORT: '1', T_SECURE: 'TRUE' }), {
      host: 'e',
      port: 1,
      secure: true,
      mode: 'safe',
    })
    assert.equal(check({ host: 'a' }, { T_HOST: 'e' }).host, 'a')
    assert.equal(check({ host: 'a' }, { T_PORT: '' }).port, 5432)
  })

  it.each([
    ['1', true],
    ['yes', true],
    ['On', true],
    ['0', false],
    ['false', false],
    ['no', false],
    ['OFF', false],
  ])('reads %s as a switch', (text, expected) => {
    assert.equal(check({ host: 'h' }, { T_SECURE: text }).secure, expected)
  })

  it('never takes nonsense in a variable for false or for a number, and names the variable', () => {
    assert.match(problems({ host: 'h' }, { T_SECURE: 'maybe' }), /secure must be a boolean, not string \(from T_SECURE\)/)
    assert.match(problems({ host: 'h' }, { T_PORT: 'abc' }), /port must be an integer, not string \(from T_PORT\)/)
    assert.match(problems({ host: 'h' }, { T_PORT: ' ' }), /port .*\(from T_PORT\)/)
    assert.match(problems({ host: 'h' }, { T_PORT: '99999' }), /port must be at most 65535 \(from T_PORT\)/)
  })
})

describe('checkOptions of hostile options', () => {
  it('refuses members that only look inherited', () => {
    assert.match(problems(JSON.parse('{"host":"h","__proto__":{"port":1},"constructor":1}')), /"__proto__".*"constructor"/)
  })

  it.each([[null], [undefined], ['x'], [[]], [1]])('says with a TypeError that options are not %s', (given) => {
    assert.throws(() => check(given), TypeError)
  })
})
