/** Plugin storages that each break one thing, many as storages before ours did, and the case that must notice. */
import { posix } from 'node:path'
import { KeyRing } from '../../../src/encryption/key-ring.ts'
import type { Sealer } from '../../../src/encryption/sealer.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import { PluginHost, type PluginHostOptions, type PluginSession, type SessionOptions } from '../../../src/plugin-storage/host.ts'
import type { PluginStorage } from '../../../src/plugin-storage/storage.ts'
import { over, patchCommit, type Break } from './state/wrappers.ts'

export interface BrokenStorage {
  /** Completes "a storage where …". */
  readonly name: string
  readonly caughtBy: string
  readonly createHost?: (options: PluginHostOptions) => PluginHost
  readonly breaks?: Break
}

/** The object with some of its methods replaced. */
function but<T extends object>(target: T, changed: Partial<T>): T {
  return new Proxy(target, {
    get(object, property) {
      if (Object.hasOwn(changed, property)) return Reflect.get(changed, property)
      const member: unknown = Reflect.get(object, property, object)
      return typeof member === 'function' ? member.bind(object) : member
    },
  })
}

function withHost(changed: (host: PluginHost) => Partial<PluginHost>): (options: PluginHostOptions) => PluginHost {
  return (options) => {
    const host = new PluginHost(options)
    return but(host, changed(host))
  }
}

function withSession(options: (given: SessionOptions) => SessionOptions): (options: PluginHostOptions) => PluginHost {
  return withHost((host) => ({ session: (given) => host.session(options(given)) }))
}

function withStorage(
  changed: (storage: PluginStorage, unlimited: PluginStorage) => Partial<PluginStorage>,
): (options: PluginHostOptions) => PluginHost {
  return (options) => {
    const host = new PluginHost(options)
    const unlimited = new PluginHost({ ...options, quotaBytes: Number.MAX_SAFE_INTEGER })
    const session = (given: SessionOptions): PluginSession => {
      const { storage, ...id } = host.session(given)
      return { ...id, storage: but(storage, changed(storage, unlimited.session({ ...given, sizeBytes: undefined }).storage)) }
    }
    return but(host, { session })
  }
}

/** Every key goes through `alias` first. */
function withKeys(alias: (key: string) => string): (options: PluginHostOptions) => PluginHost {
  return withStorage((storage) => ({
    get: (key, options) => storage.get(alias(key), options),
    getText: (key, options) => storage.getText(alias(key), options),
    exist: (key, options) => storage.exist(alias(key), options),
    set: (key, value, options) => storage.set(alias(key), value, options),
    setText: (key, text, options) => storage.setText(alias(key), text, options),
    delete: (key, options) => storage.delete(alias(key), options),
  }))
}

class LooseRing extends KeyRing {
  override sealer(purpose: string, workspace: string): Sealer {
    const sealer = super.sealer(purpose, workspace)
    const nowhere = new Uint8Array(0)
    return but(sealer, {
      seal: (plain) => sealer.seal(plain, nowhere),
      open: (sealed, _context, what) => sealer.open(sealed, nowhere, what),
    })
  }
}

const quotas: readonly BrokenStorage[] = [
  {
    name: 'the quota is checked after the write',
    caughtBy: 'plugin-storage/quota/refused-keeps',
    createHost: withStorage((storage, unlimited) => ({
      set: async (key, value, options) => {
        try {
          await storage.set(key, value, options)
        } catch (error) {
          if (isHoldfastError(error, 'QUOTA_EXCEEDED')) await unlimited.set(key, value, options)
          throw error
        }
      },
    })),
  },
  {
    name: 'the maximum does not hold',
    caughtBy: 'plugin-storage/quota/exact',
    breaks: patchCommit((commit) => ({ ...commit, add: (commit.add ?? []).map(({ key, by }) => ({ key, by })) })),
  },
  {
    name: 'values and counter change apart from what was read',
    caughtBy: 'plugin-storage/quota/concurrent-deletes',
    breaks: patchCommit((commit) => ({ ...commit, checks: [] })),
  },
  { name: 'the counter loses updates', caughtBy: 'plugin-storage/quota/first-writes', breaks: losing },
  {
    name: 'large values escape the quota',
    caughtBy: 'plugin-storage/quota/nothing-left',
    createHost: withStorage((storage, unlimited) => ({
      set: (key, value, options) => (value.length > 64 ? unlimited : storage).set(key, value, options),
    })),
  },
  {
    name: 'streams escape the quota',
    caughtBy: 'plugin-storage/streams/refused',
    createHost: withStorage((_, unlimited) => ({
      createWriteStream: (key, options) => unlimited.createWriteStream(key, options),
    })),
  },
]

const keys: readonly BrokenStorage[] = [
  { name: 'keys are paths', caughtBy: 'plugin-storage/keys/no-paths', createHost: withKeys((key) => posix.normalize(key)) },
  { name: 'keys are folded', caughtBy: 'plugin-storage/keys/near-duplicates', createHost: withKeys((key) => key.toLowerCase()) },
  { name: 'keys are trimmed', caughtBy: 'plugin-storage/keys/hostile', createHost: withKeys((key) => key.trim() || key) },
  {
    name: 'deleting a key deletes what lies beneath it',
    caughtBy: 'plugin-storage/keys/no-paths',
    createHost: withStorage((storage) => ({
      delete: async (key) => {
        for (const beneath of await storage.keys({ prefix: `${key}/` })) await storage.delete(beneath)
        return storage.delete(key)
      },
    })),
  },
  {
    name: 'a prefix is a pattern',
    caughtBy: 'plugin-storage/keys/prefix',
    createHost: withStorage((storage) => ({
      keys: (options) => storage.keys({ prefix: options?.prefix?.replace(/[%*_].*/, '') }),
    })),
  },
]

const scopes: readonly BrokenStorage[] = [
  {
    name: 'workspaces share',
    caughtBy: 'plugin-storage/scopes/isolated',
    createHost: withSession((given) => ({ ...given, workspaceId: '' })),
  },
  {
    name: 'plugins of one author share',
    caughtBy: 'plugin-storage/scopes/isolated',
    createHost: withSession((given) => ({ ...given, pluginId: `${given.pluginId.split('/')[0]}/all` })),
  },
  {
    name: 'every version begins anew',
    caughtBy: 'plugin-storage/scopes/version',
    createHost: withSession((given) => ({ ...given, pluginId: given.pluginId.replaceAll(/[:.@]/g, '_') })),
  },
  {
    name: 'the manifest is not asked',
    caughtBy: 'plugin-storage/scopes/permission',
    createHost: withSession((given) => ({ ...given, enabled: true })),
  },
  {
    name: 'uninstalling leaves counters and listing',
    caughtBy: 'plugin-storage/admin/clear',
    createHost: withHost((host) => ({
      clear: async (scope) => {
        const { storage } = host.session(scope)
        const present = await storage.keys()
        for (const key of present) await storage.delete(key)
        return present.length
      },
    })),
  },
]

const answers: readonly BrokenStorage[] = [
  {
    name: 'failures read as absence',
    caughtBy: 'plugin-storage/failures/outage',
    createHost: withStorage((storage) => ({ get: (key) => storage.get(key).catch(() => undefined) })),
  },
  {
    name: 'deleting what is missing is an error',
    caughtBy: 'plugin-storage/values/missing',
    createHost: withStorage((storage) => ({
      delete: async (key) => {
        if (await storage.delete(key)) return true
        throw new Error('unlink /var/lib/plugins/none: no such file')
      },
    })),
  },
  {
    name: 'reads are cached',
    caughtBy: 'plugin-storage/concurrency/no-stale-reads',
    createHost: withStorage((storage) => {
      const cache = new Map<string, Awaited<ReturnType<PluginStorage['get']>>>()
      return {
        get: async (key) => {
          if (!cache.has(key)) cache.set(key, await storage.get(key))
          return cache.get(key)
        },
      }
    }),
  },
  {
    name: 'a value is removed before it is replaced',
    caughtBy: 'plugin-storage/large/never-torn',
    createHost: withStorage((storage) => ({
      set: async (key, value) => {
        await storage.delete(key)
        await new Promise(setImmediate)
        await storage.set(key, value)
      },
    })),
  },
  {
    name: 'setIfAbsent looks, then writes',
    caughtBy: 'plugin-storage/concurrency/one-winner',
    createHost: withStorage((storage) => ({
      setIfAbsent: async (key, value) => {
        if (await storage.exist(key)) return false
        await storage.set(key, value)
        return true
      },
    })),
  },
  {
    name: 'increment reads, then writes',
    caughtBy: 'plugin-storage/concurrency/increments',
    createHost: withStorage((storage) => ({
      increment: async (key, by) => {
        const sum = Number((await storage.getText(key)) ?? 0) + (by ?? 1)
        await storage.setText(key, String(sum))
        return sum
      },
    })),
  },
  {
    name: 'text is taken for bytes',
    caughtBy: 'plugin-storage/values/bytes-only',
    createHost: withStorage((storage) => ({
      set: (key, value) => storage.set(key, typeof value === 'string' ? Buffer.from(value) : value),
    })),
  },
  {
    name: 'a TTL is forgotten',
    caughtBy: 'plugin-storage/ttl/gone',
    createHost: withStorage((storage) => ({ set: (key, value) => storage.set(key, value) })),
  },
]

const encryptions: readonly BrokenStorage[] = [
  {
    name: 'nothing is encrypted',
    caughtBy: 'plugin-storage/encryption/hides',
    createHost: (options) => new PluginHost({ ...options, encryption: undefined }),
  },
  {
    name: 'sealed bytes open anywhere',
    caughtBy: 'plugin-storage/encryption/swapped',
    createHost: (options) =>
      new PluginHost({
        ...options,
        encryption: options.encryption && new LooseRing({ current: 'k1', keys: { k1: new Uint8Array(32) } }),
      }),
  },
  {
    name: 'encryption is turned on without converting',
    caughtBy: 'plugin-storage/encryption/convert',
    createHost: withHost(() => ({ encrypt: async () => 3 })),
  },
  {
    name: 'an old key is dropped at once',
    caughtBy: 'plugin-storage/encryption/rotation',
    createHost: (options) => new PluginHost({ ...options, encryption: onlyCurrent(options.encryption) }),
  },
]

export const brokenStorages: readonly BrokenStorage[] = [...quotas, ...keys, ...scopes, ...answers, ...encryptions]

function onlyCurrent(given: PluginHostOptions['encryption']): PluginHostOptions['encryption'] {
  if (given === undefined || given instanceof KeyRing) return given
  return { current: given.current, keys: { [given.current]: given.keys[given.current]! } }
}

/** Adds by reading, waiting and setting. */
function losing(backend: Parameters<Break>[0]): ReturnType<Break> {
  return over(backend, {
    commit: async (space, { add = [], ...commit }, call) => {
      const [addition] = add
      if (addition === undefined) return backend.commit(space, commit, call)
      const [entry] = await backend.get(space, [addition.key], call)
      await new Promise(setImmediate)
      const sum = Number(entry?.value ?? 0) + addition.by
      const set = [...(commit.set ?? []), { key: addition.key, value: String(sum) }]
      return backend.commit(space, { ...commit, set }, call)
    },
  })
}
