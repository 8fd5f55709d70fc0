/** Where our own reckoning must agree with the server’s, to the letter. */
import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:tls'
import { connect, type AddressInfo } from 'node:net'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { hashTag } from '../../src/engines/redis.ts'
import { slotOf } from '../../src/engines/redis-slot.ts'
import { HOSTILE_TEXTS, NEAR_DUPLICATES } from '../../src/conformance/hostile.ts'
import { addTo } from '../../src/state/values.ts'
import { withService } from '../services.ts'
import { exec, scratch } from '../support.ts'
import { create, newPrefix, open, removeAll, withRaw, type RedisBackend } from './redis-support.ts'

const BACKENDS: readonly RedisBackend[] = ['redis', 'valkey']

describe('the hash tag of a space', () => {
  const spaces = ['', '.', '%2E', '%', '%.', '{', '}', 'a', 'A', ' ', 'w:a', 'é', ...HOSTILE_TEXTS, ...NEAR_DUPLICATES.flat()]

  it('has no braces, is never empty, and is another for every space', () => {
    const tags = new Map<string, string>()
    for (const space of spaces) {
      const tag = hashTag(space)
      expect(tag).toMatch(/^[\w.:~/@+,=%-]{1,200}$/)
      expect(tags.get(tag) ?? space).toBe(space)
      tags.set(tag, space)
    }
  })

  it('shows plain names as they are', () => {
    expect(hashTag('w:acme/eu-1')).toBe('w:acme/eu-1')
    expect(hashTag('a'.repeat(200))).toHaveLength(200)
    expect(hashTag('a'.repeat(201))).toMatch(/^%\.[\da-f]{64}$/)
    expect([hashTag(''), hashTag('.'), hashTag('a{b}')]).toEqual(['.', '%2E', 'a%7Bb%7D'])
  })
})

withService('redis-cluster', 'the slot of a key', (service) => {
  it('is the one that the cluster says', async () => {
    const keys = [
      'a',
      '',
      'foo{}{bar}',
      '{foo}bar',
      'a{b',
      'a}b{c}',
      '{{a}}',
      'é{ü}',
      'holdfast:{.}:i',
      ...HOSTILE_TEXTS.slice(0, 50),
    ]
    await withRaw(service.url, async (client) => {
      for (const key of keys) expect([key, slotOf(key)]).toEqual([key, await client.clusterKeySlot(key)])
    })
  })
})

/** Texts that are numbers to one parser and none, or another, to the next. */
const NUMBERS: readonly string[] = [
  [
    '0',
    '-0',
    '7',
    '-7',
    '007',
    '-07',
    '+7',
    ' 7',
    '7 ',
    '\t\n\r 7 \t\n\r',
    '\u00a07',
    '\v7',
    '7\0',
    '7\n\n8',
    '',
    ' ',
    '-',
    '--7',
  ],
  [
    '7.0',
    '7.',
    '.7',
    '7.5',
    '-7.00',
    '1e2',
    '1E2',
    '1e+2',
    '1e-2',
    '100e-2',
    '15e-1',
    '1e',
    'e2',
    '1e2.0',
    '1e400',
    '1e-400',
    '0e9',
  ],
  [
    '9007199254740991',
    '9007199254740992',
    '-9007199254740991',
    '-9007199254740992',
    '9007199254740991.0',
    '9.007199254740991e15',
  ],
  [
    '9007199254740990.9999999',
    '1'.repeat(400),
    `0.${'0'.repeat(400)}1`,
    '0x10',
    '0b1',
    '1_0',
    'inf',
    'nan',
    'Infinity',
    'NaN',
    'null',
  ],
  ['true', '"7"', '[7]', '{}', '\ufeff7', '７', '7,0', '7a', '1e0000000000000000002', '-0.0', '-1e-400', '4503599627370497.5'],
].flat()

for (const backend of BACKENDS) {
  withService(backend, `${backend}: what counts as an integer`, (service) => {
    it('is what JSON says, in the same numbers', async () => {
      await using place = await open(backend, service)
      const { backend: raw } = place.store.core
      const sums = [0, 1, -1, 9_007_199_254_740_991, -9_007_199_254_740_991]
      for (const text of NUMBERS) {
        for (const by of sums) {
          for (const max of [undefined, 0, 7.5, -Infinity, Infinity, 1e21]) {
            await raw.commit('s', { set: [{ key: 'k', value: text }] })
            const expected = addTo(text, { key: 'k', by, max })
            const result = await raw.commit('s', { add: [{ key: 'k', by, max }] })
            const found = result.applied ? result.sums[0] : result.reason
            expect([text, by, max, found]).toEqual([text, by, max, expected])
            if (typeof expected === 'number') expect(String((await raw.get('s', ['k']))[0]!.value)).toBe(String(expected))
          }
        }
      }
    })
  })

  withService(backend, `${backend}: versions and values`, (service) => {
    it('are the same on both sides, for any bytes', async () => {
      await using place = await open(backend, service)
      const { backend: raw } = place.store.core
      const values = [
        '',
        'a',
        '-',
        Uint8Array.of(),
        Uint8Array.of(0),
        Uint8Array.of(0xff, 0, 0x0d, 0x0a),
        new Uint8Array(2_000_000).fill(0x80),
      ]
      for (const value of values) {
        await raw.commit('s', { set: [{ key: 'k', value }] })
        const [entry] = await raw.get('s', ['k'])
        expect(Buffer.from(entry!.value)).toEqual(Buffer.from(value))
        const same = await raw.commit('s', { checks: [{ key: 'k', version: entry!.version }] })
        expect(same.applied).toBe(true)
      }
    })

    it('takes as many keys in a commit as it says, and no more', async () => {
      await using place = await open(backend, service)
      const { backend: raw } = place.store.core
      const keys = Array.from({ length: 10_000 }, (_, i) => `k${i}`)
      const checks = keys.map((key) => ({ key, version: null }))
      const half = keys.slice(0, 5_000)
      const commit = {
        checks,
        set: half.map((key) => ({ key, value: '1' })),
        add: keys.slice(5_000).map((key) => ({ key, by: 2 })),
      }
      expect(await raw.commit('s', commit)).toEqual({ applied: true, deleted: 0, sums: Array(5_000).fill(2) })
      expect(await raw.commit('s', { delete: keys })).toMatchObject({ applied: true, deleted: 10_000 })
      await expect(raw.commit('s', { delete: [...keys, 'more'] })).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        outcome: 'not-applied',
      })
    })
  })

  withService(backend, `${backend}: TLS`, (service) => {
    it('protects the connection, and knows whom it talks to', async () => {
      const { url, ca } = await tlsBefore(service.url)
      const prefix = newPrefix()
      const secure = url.replace('redis:', backend === 'redis' ? 'rediss:' : 'valkeys:')
      await expect(create(backend, { url: secure, prefix })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      await expect(create(backend, { url, prefix, connectTimeoutMs: 500 })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      for (const options of [{ url: secure }, { url }]) {
        const store = await create(backend, { ...options, prefix, tls: { ca, servername: 'localhost' } })
        await store.set('k', 'secret')
        expect(await store.get('k')).toBe('secret')
        await store.close()
      }
      await removeAll(service, prefix)
    })
  })
}

/** A server that speaks TLS and passes everything on, with a certificate of its own for localhost. */
async function tlsBefore(target: string): Promise<{ url: string; ca: string }> {
  const folder = await scratch()
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const files = ['-keyout', key, '-out', cert]
  await exec('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files])
  const { hostname, port } = new URL(target)
  const server = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, (client) => {
    const upstream = connect(Number(port), hostname)
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy())
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.pipe(upstream).pipe(client)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = target.replace(new URL(target).host, `127.0.0.1:${(server.address() as AddressInfo).port}`)
  return { url, ca: await readFile(cert, 'utf8') }
}
