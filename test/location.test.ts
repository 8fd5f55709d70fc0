import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { describe, it } from 'vitest'
import { HoldfastError } from '../src/errors.ts'
import { fileLocation, IN_MEMORY } from '../src/store/location.ts'
import { redact } from '../src/store/redact.ts'

describe('fileLocation', () => {
  it.each([
    ['rel.db', resolve('rel.db')],
    ['dir/rel.db', resolve('dir/rel.db')],
    ['dir/with:colon.db', resolve('dir/with:colon.db')],
    ['what?.db', resolve('what?.db')],
    ['file:rel.db', resolve('rel.db')],
    ['sqlite:rel.db', resolve('rel.db')],
    ['SQLite:rel.db', resolve('rel.db')],
    ['sqlite:../up.db', resolve('../up.db')],
    ['/abs.db', '/abs.db'],
    ['sqlite:/abs.db', '/abs.db'],
    ['file:/abs/x.db', '/abs/x.db'],
    ['sqlite:///abs/dir/x.db', '/abs/dir/x.db'],
    ['sqlite:////abs.db', '/abs.db'],
    ['sqlite:////abs/dir/x.db', '/abs/dir/x.db'],
    ['file:///abs/x.db', '/abs/x.db'],
    ['file:///abs/a%20b.db', '/abs/a b.db'],
    [':memory:', IN_MEMORY],
    ['sqlite::memory:', IN_MEMORY],
    ['sqlite://:memory:', IN_MEMORY],
    ['sqlite:///:memory:', IN_MEMORY],
    ['file::memory:', IN_MEMORY],
  ])('reads %s', (text, expected) => {
    assert.equal(fileLocation({ url: text }, 'x.db'), expected)
    assert.equal(fileLocation({ path: text }, 'x.db'), expected)
    assert.equal(fileLocation({}, text), expected)
  })
})

describe('what fileLocation refuses', () => {
  it.each([
    ['sqlite:///x.db', /"sqlite:x\.db" for a relative path or "sqlite:\/\/\/\/x\.db"/],
    ['', /empty/],
    ['sqlite:', /empty/],
    ['file:', /empty/],
    ['sqlite://', /empty/],
    ['sqlite:///', /empty/],
    ['a\0b', /U\+0000/],
    ['sqlite://host/x.db', /names a host/],
    ['file://host/x.db', /not a file URL of this machine/],
    ['file:x.db?mode=memory', /parameters/],
    ['sqlite:x.db?mode=ro', /parameters/],
    ['file:///abs/x.db?mode=ro', /parameters/],
    ['file:///abs/x.db#frag', /parameters/],
    ['postgres://h/db', /takes a path, "file:…" or "sqlite:…"/],
    ['http://h/x.db', /takes a path/],
  ])('refuses %j', (text, message) => {
    assert.throws(
      () => fileLocation({ url: text }, 'x.db'),
      (error) => error instanceof HoldfastError && error.code === 'INVALID_OPTIONS' && message.test(error.message),
    )
  })

  it.each([
    'sqlite://u:hunter2@h/x.db',
    'file://u:hunter2@h/x.db',
    'postgres://u:hunter2@h/x',
    'sqlite:///d/x.db?key=u:hunter2@h',
    'sqlite://u:hunter2@h',
  ])('shows no password of %s', (text) => {
    assert.throws(
      () => fileLocation({ url: text }, 'x.db'),
      (error: Error) => !error.message.includes('hunter2') && error.cause === undefined,
    )
  })

  it('refuses a path and a URL together', () => {
    assert.throws(() => fileLocation({ path: 'a.db', url: 'b.db' }, 'x.db'), /not both/)
  })

  it('takes another scheme of the backend', () => {
    assert.equal(fileLocation({ url: 'json:rel' }, 'x', 'json'), resolve('rel'))
    assert.throws(() => fileLocation({ url: 'sqlite:rel' }, 'x', 'json'), /"json:…"/)
  })
})

describe('redact', () => {
  it.each([
    ['postgres://user:pa55@host/db', 'postgres://***@host/db'],
    ['at redis://:pa55@h:6379, twice: mysql://u:pa55@h', 'at redis://***@h:6379, twice: mysql://***@h'],
    ['postgres://u:p@55/w#0rd@host', 'postgres://***@host'],
    ['https://host/path?x=1', 'https://host/path?x=1'],
    ['connect password=pa55 host=h', 'connect password=*** host=h'],
    ['AccountEndpoint=https://h;AccountKey=pa55==;', 'AccountEndpoint=https://h;AccountKey=***;'],
    ['PGPASSWORD=pa55 AWS_SECRET_ACCESS_KEY=pa55', 'PGPASSWORD=*** AWS_SECRET_ACCESS_KEY=***'],
    ['?api_key=pa55&authToken=pa55&n=1', '?api_key=***&authToken=***&n=1'],
    ['no secret here: monkey=1', 'no secret here: monkey=1'],
  ])('%s', (text, expected) => assert.equal(redact(text), expected))

  it('takes linear time on hostile text', () => {
    const started = performance.now()
    for (const piece of ['a', 'a://', 'a.', 'token', 'password-', '@', '://@']) redact(piece.repeat(200_000))
    assert(performance.now() - started < 2_000)
  })
})
