/** Encryption at rest: what is stored tells nothing, and what was changed does not pass. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isHoldfastError } from '../../errors.ts'
import { KeyRing } from '../../encryption/key-ring.ts'
import { valueKey } from '../../plugin-storage/layout.ts'
import type { PluginStorage } from '../../plugin-storage/storage.ts'
import { expectError } from '../expect.ts'
import { assertCounted, bytes, CHUNK, pattern, plant, rawBytes, rawKeys, sameBytes, SCOPE, type StorageCase } from './support.ts'

const key = (seed: number): Uint8Array => pattern(32, seed)
const RING = new KeyRing({ current: 'k1', keys: { k1: key(1) } })
const SEALED = { encryption: RING, chunkBytes: CHUNK }
const PLAIN = { chunkBytes: CHUNK }
const SECRET = 'the secret text of the plugin, which nobody shall find in the store'

/** A small value, one in pieces, and one that ends. */
async function fill(storage: PluginStorage): Promise<void> {
  await storage.setText('small', SECRET.slice(0, 40))
  await storage.setText('large', SECRET.repeat(5))
  await storage.setText('lease', SECRET.slice(0, 30), { ttl: 600 })
}

async function assertFilled(storage: PluginStorage): Promise<void> {
  assert.equal(await storage.getText('small'), SECRET.slice(0, 40))
  assert.equal(await storage.getText('large'), SECRET.repeat(5))
  assert.ok((await storage.ttl('lease'))! > 500)
  assert.equal((await storage.usage()).usedBytes, 70 + SECRET.length * 5)
}

const hiding: readonly StorageCase[] = [
  {
    id: 'plugin-storage/encryption/works',
    sentence: 'Encrypted, everything works as it does unencrypted.',
    async run({ storage: open }) {
      const storage = open({ ...SEALED, quotaBytes: 1_000 })
      await fill(storage)
      await assertFilled(storage)
      await assertFilled(open(SEALED))
      assert.deepEqual(await storage.keys(), ['large', 'lease', 'small'])
      assert.equal(await storage.increment('n', 5), 5)
      assert.equal(await storage.increment('n', 5), 10)
      assert.equal(await storage.expire('large', 600), true)
      assert.equal(await storage.persist('lease'), true)
      assert.equal(await storage.setIfAbsent('small', bytes('x')), false)
      sameBytes(new Uint8Array(Buffer.concat(await storage.createReadStream('large').toArray())), bytes(SECRET.repeat(5)))
      await expectError('QUOTA_EXCEEDED', () => storage.set('more', pattern(1_000, 1)))
      await assertCounted(storage)
    },
  },
  {
    id: 'plugin-storage/encryption/hides',
    sentence: 'What is stored holds no plaintext, and the same value twice is not the same bytes.',
    async run({ storage: open, store }) {
      const storage = open(SEALED)
      await fill(storage)
      await storage.setText('twin', SECRET.slice(0, 40))
      for (const place of await rawKeys(store)) {
        const stored = Buffer.from(await rawBytes(store, place))
        for (let at = 0; at + 8 <= SECRET.length; at += 8)
          assert.ok(!stored.includes(SECRET.slice(at, at + 8)), `${place} holds plaintext`)
      }
      const [one, two] = [await rawBytes(store, valueKey('small')), await rawBytes(store, valueKey('twin'))]
      assert.notDeepEqual(one.subarray(-50), two.subarray(-50))
    },
  },
  {
    id: 'plugin-storage/encryption/no-secrets-shown',
    sentence: 'Keys are in no error, inspection or JSON.',
    async run({ host, storage: open }) {
      const secret = Buffer.from(key(1))
      await fill(open(SEALED))
      const other = new KeyRing({ current: 'k1', keys: { k1: key(2) } })
      const error = await expectError('DECRYPTION_FAILED', () => open({ encryption: other }).get('small'))
      const refused = await expectError(
        'INVALID_OPTIONS',
        async () => new KeyRing({ current: 'a', keys: { a: secret.toString('hex').slice(2) } }),
      )
      const shown = [error, refused, RING, host(SEALED), open(SEALED)].flatMap((each) => [
        inspect(each, { depth: 10, showHidden: true }),
        JSON.stringify(each) ?? '',
      ])
      for (const text of shown) {
        for (const form of ['hex', 'base64', 'latin1'] as const)
          assert.ok(!text.includes(secret.toString(form).slice(2, 30)), text)
        assert.ok(!text.includes(SECRET.slice(0, 20)))
      }
    },
  },
  {
    id: 'plugin-storage/encryption/keys-checked',
    sentence:
      'A key ring with a key that is not 32 bytes, an id that is none, or a current key that is missing is INVALID_OPTIONS.',
    async run() {
      const bad: readonly unknown[] = [
        undefined,
        {},
        { current: 'a', keys: {} },
        { current: 'a', keys: { b: key(1) } },
        { current: 'a', keys: { a: key(1).subarray(1) } },
        { current: 'a', keys: { a: 'short' } },
        { current: 'a', keys: { a: 5 } },
        { current: 'a b', keys: { 'a b': key(1) } },
        { current: 5, keys: { 5: key(1) } },
        { current: 'toString', keys: { a: key(1) } },
      ]
      for (const options of bad) await expectError('INVALID_OPTIONS', async () => new KeyRing(options as never))
      for (const form of [Buffer.from(key(1)).toString('base64'), Buffer.from(key(1)).toString('hex')]) {
        assert.deepEqual(new KeyRing({ current: 'a', keys: { a: form } }).ids, ['a'])
      }
    },
  },
]

const proving: readonly StorageCase[] = [
  {
    id: 'plugin-storage/encryption/wrong-key',
    sentence: 'With another key, or without the one that it was written with, nothing opens: DECRYPTION_FAILED.',
    async run({ storage: open }) {
      await fill(open(SEALED))
      const wrong = open({ encryption: { current: 'k1', keys: { k1: key(9) } } })
      const missing = open({ encryption: { current: 'k2', keys: { k2: key(1) } } })
      for (const storage of [wrong, missing]) {
        for (const name of ['small', 'large']) await expectError('DECRYPTION_FAILED', () => storage.get(name))
        await expectError('DECRYPTION_FAILED', () => storage.getMany(['small']))
        await expectError('DECRYPTION_FAILED', () => storage.createReadStream('large').toArray())
      }
      const error = await expectError('DECRYPTION_FAILED', () => missing.get('small'))
      assert.match(error.message, /"k1"/)
    },
  },
  {
    id: 'plugin-storage/encryption/tampered',
    sentence: 'A single changed byte anywhere in a record or a piece never yields another value.',
    async run({ storage: open, store }) {
      const storage = open(SEALED)
      await fill(storage)
      const chunk = (await rawKeys(store, SCOPE, 'c:'))[1]!
      for (const [place, name] of [
        [valueKey('small'), 'small'],
        [valueKey('large'), 'large'],
        [chunk, 'large'],
      ] as const) {
        const good = await rawBytes(store, place)
        for (let at = 0; at < good.length; at += 3) {
          const bad = new Uint8Array(good)
          bad[at]! ^= 1 << (at % 8)
          await plant(store, place, bad)
          const error: unknown = await storage.get(name).catch((reason: unknown) => reason)
          const refused = isHoldfastError(error, 'DECRYPTION_FAILED') || isHoldfastError(error, 'CORRUPT')
          assert.ok(refused || error === undefined, `byte ${at} of ${place} passes`)
        }
        await plant(store, place, good)
      }
      await assertFilled(storage)
    },
  },
  {
    id: 'plugin-storage/encryption/swapped',
    sentence: 'A row that was moved to another key, another scope or another place among the pieces is DECRYPTION_FAILED.',
    async run({ storage: open, store }) {
      const storage = open(SEALED)
      const other = { ...SCOPE, pluginId: 'author/other' }
      await fill(storage)
      await fill(open({ ...SEALED, ...other }))
      await storage.setText('twin', SECRET.slice(1, 41))
      await plant(store, valueKey('twin'), await rawBytes(store, valueKey('small')))
      await expectError('DECRYPTION_FAILED', () => storage.get('twin'))
      await plant(store, valueKey('small'), await rawBytes(store, valueKey('small'), other))
      await expectError('DECRYPTION_FAILED', () => storage.get('small'))
      const [first, second] = await rawKeys(store, SCOPE, 'c:')
      const piece = await rawBytes(store, first!)
      await plant(store, second!, piece)
      await expectError('DECRYPTION_FAILED', () => storage.get('large'))
      await expectError('DECRYPTION_FAILED', () => storage.createReadStream('large').toArray())
      await storage.setText('large', SECRET.repeat(5))
      const [anew] = await rawKeys(store, SCOPE, 'c:')
      await plant(store, anew!, piece)
      await expectError('DECRYPTION_FAILED', () => storage.get('large'))
    },
  },
  {
    id: 'plugin-storage/encryption/plaintext-planted',
    sentence: 'A plaintext row put in the place of an encrypted one is DECRYPTION_FAILED.',
    async run({ storage: open, store }) {
      const storage = open(SEALED)
      const other = { ...SCOPE, pluginId: 'author/other' }
      await fill(storage)
      await open({ ...PLAIN, ...other }).setText('small', 'forged')
      await plant(store, valueKey('small'), await rawBytes(store, valueKey('small'), other))
      await expectError('DECRYPTION_FAILED', () => storage.get('small'))
    },
  },
]

const converting: readonly StorageCase[] = [
  {
    id: 'plugin-storage/encryption/no-silent-mix',
    sentence: 'A scope is encrypted or not: a host of the other kind is refused, for reading and writing, and told what to do.',
    async run({ storage: open, store }) {
      await fill(open(SEALED))
      const plainHost = open(PLAIN)
      const calls = (storage: PluginStorage): (() => Promise<unknown>)[] => [
        () => storage.get('small'),
        () => storage.get('none'),
        () => storage.set('new', bytes('x')),
        () => storage.setIfAbsent('new', bytes('x')),
        () => storage.delete('small'),
        () => storage.getMany(['none']),
        () => storage.setMany({ new: bytes('x') }),
      ]
      const before = await rawKeys(store)
      for (const call of calls(plainHost)) {
        const error = await expectError('DECRYPTION_FAILED', call)
        assert.match(error.message, /key ring/)
      }
      assert.deepEqual(await rawKeys(store), before)
      const other = { ...SCOPE, pluginId: 'author/plain' }
      await fill(open({ ...PLAIN, ...other }))
      for (const call of calls(open({ ...SEALED, ...other }))) {
        const error = await expectError('DECRYPTION_FAILED', call)
        assert.match(error.message, /encrypt/)
      }
    },
  },
  {
    id: 'plugin-storage/encryption/convert',
    sentence: '`encrypt` converts a scope with all that it holds, `decrypt` converts it back; usage, TTLs and values stay.',
    async run({ host: open, storage: openStorage, store }) {
      const host = open(SEALED)
      await fill(openStorage(PLAIN))
      assert.equal(await host.encrypt(SCOPE), 3)
      assert.equal((await host.usage(SCOPE)).encrypted, true)
      await assertFilled(openStorage(SEALED))
      await assertFilled(host.session(SCOPE).storage)
      for (const place of await rawKeys(store)) {
        assert.ok(!Buffer.from(await rawBytes(store, place)).includes('secret'), `${place} holds plaintext`)
      }
      await expectError('DECRYPTION_FAILED', () => openStorage(PLAIN).get('small'))
      assert.equal(await host.encrypt(SCOPE), 0)
      assert.equal(await host.decrypt(SCOPE), 3)
      await assertFilled(openStorage(PLAIN))
      await expectError('DECRYPTION_FAILED', () => openStorage(SEALED).get('small'))
      await expectError('INVALID_ARGUMENT', () => open(PLAIN).encrypt(SCOPE))
      assert.equal(await host.encrypt({ ...SCOPE, pluginId: 'never/seen' }), 0)
    },
  },
  {
    id: 'plugin-storage/encryption/convert-shuts-out',
    sentence: 'A session from before the conversion writes no plaintext after it.',
    async run({ host: open, storage: openStorage, store }) {
      const before = openStorage(PLAIN)
      await fill(before)
      await open(SEALED).encrypt(SCOPE)
      for (const name of ['new', 'small']) await expectError('DECRYPTION_FAILED', () => before.set(name, bytes('plaintext')))
      await expectError('DECRYPTION_FAILED', () => before.set('new', bytes('plaintext'.repeat(20))))
      for (const place of await rawKeys(store)) assert.ok(!Buffer.from(await rawBytes(store, place)).includes('plaintext'), place)
      await assertFilled(openStorage(SEALED))
    },
  },
  {
    id: 'plugin-storage/encryption/rotation',
    sentence:
      'New values use the current key, old keys still read; `encrypt` converts to the current one, after which the old may go.',
    async run({ host: open, storage: openStorage }) {
      await fill(openStorage(SEALED))
      const both = { chunkBytes: CHUNK, encryption: { current: 'k2', keys: { k1: key(1), k2: key(2) } } }
      const only = { chunkBytes: CHUNK, encryption: { current: 'k2', keys: { k2: key(2) } } }
      await assertFilled(openStorage(both))
      await openStorage(both).set('new', bytes('x'))
      sameBytes(await openStorage(only).get('new'), bytes('x'))
      await openStorage(both).delete('new')
      await openStorage(both).expire('large', 600)
      await expectError('DECRYPTION_FAILED', () => openStorage(only).get('large'))
      assert.equal(await open(both).encrypt(SCOPE), 3)
      await assertFilled(openStorage(only))
      assert.equal(await open(both).encrypt(SCOPE), 0)
    },
  },
]

export const encryptionCases: readonly StorageCase[] = [...hiding, ...proving, ...converting]
