/** One commit on Cloud Storage: it holds one object, and is one write that expects a generation. */
import { ABSENT, type GcsBucket, type GcsObject } from '../engines/gcs.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { StateAdd, StateCommit, StateCommitResult, StateSet } from './contract.ts'
import { Counters } from './gcs-counters.ts'
import { liveOf, type KnownObjects } from './gcs-known.ts'
import { encodeKey, folderOf, HASHED } from './gcs-names.ts'
import { backOff, MAX_ATTEMPTS, nothingApplied } from './space.ts'
import { addTo } from './values.ts'

/** A commit of one key, with what it is to be checked against: a version, null, or, left out, nothing. */
interface OneKey {
  readonly key: string
  readonly name: string
  /** The space, where the folder's name does not tell it. */
  readonly note: string | undefined
  readonly version: string | null | undefined
}

const APPLIED: StateCommitResult = { applied: true, deleted: 0, sums: [] }

export class Committer {
  readonly #bucket: GcsBucket
  readonly #known: KnownObjects
  readonly #counters: Counters
  readonly #prefix: string

  constructor(bucket: GcsBucket, known: KnownObjects, prefix: string) {
    this.#bucket = bucket
    this.#known = known
    this.#counters = new Counters(bucket, known)
    this.#prefix = prefix
  }

  async commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    const key = keyOf(commit)
    if (key === undefined) return APPLIED
    const [version, ...others] = (commit.checks ?? []).map((check) => check.version)
    if (others.some((other) => other !== version)) return refused(key)
    const folder = folderOf(space)
    const note = folder.startsWith(HASHED) ? space : undefined
    const one: OneKey = { key, name: this.#prefix + folder + encodeKey(key), note, version }
    // A version says when its value expires, and so needs no look.
    if (typeof version === 'string' && liveOf(objectOf(version)) === undefined) return refused(key)
    if (commit.set?.[0] !== undefined) return this.#set(one, commit.set[0], call)
    if (commit.add?.[0] !== undefined) return this.#add(one, commit.add[0], call)
    return commit.delete?.[0] === undefined ? this.#check(one, call) : this.#delete(one, call)
  }

  async #set(one: OneKey, set: StateSet, call: BackendCall | undefined): Promise<StateCommitResult> {
    const { version } = one
    if (version === null) return this.#create(one, { body: set.value, expiresAt: expiryOf(set, undefined) }, call)
    if (version !== undefined) {
      const held = objectOf(version)!
      const expiresAt = expiryOf(set, held)
      return (await this.#write(one, { body: set.value, expiresAt }, held.generation, call)) ? APPLIED : refused(one.key)
    }
    if (set.ttlMs === 'keep') return this.#setKeeping(one, set, call)
    await this.#write(one, { body: set.value, expiresAt: expiryOf(set, undefined) }, undefined, call)
    return APPLIED
  }

  /** Where nothing is, or what has expired. */
  #create(one: OneKey, content: Content, call: BackendCall | undefined): Promise<StateCommitResult> {
    let over = ABSENT
    return this.#repeat(one.key, call, async () => {
      if (await this.#write(one, content, over, call)) return APPLIED
      const found = await this.#bucket.look(one.name, call).catch(nothingApplied)
      if (liveOf(found) !== undefined) return refused(one.key)
      over = found?.generation ?? ABSENT
      return undefined
    })
  }

  #setKeeping(one: OneKey, set: StateSet, call: BackendCall | undefined): Promise<StateCommitResult> {
    return this.#repeat(one.key, call, async () => {
      const found = await this.#look(one.name, call)
      const content = { body: set.value, expiresAt: liveOf(found)?.expiresAt }
      return (await this.#write(one, content, found?.generation ?? ABSENT, call)) ? APPLIED : undefined
    })
  }

  async #add(one: OneKey, addition: StateAdd, call: BackendCall | undefined): Promise<StateCommitResult> {
    const { key, name, note, version } = one
    if (version === undefined) return this.#counters.add({ name, note }, addition, call)
    const found = version === null ? undefined : await this.#bucket.read(name, call).catch(nothingApplied)
    if (version !== null && found?.generation !== objectOf(version)!.generation) return refused(key)
    const sum = addTo(found?.body, addition)
    // A refusal for the sum must not hide that the check fails.
    if (typeof sum !== 'number') {
      const checked = await this.#check(one, call)
      return checked.applied ? { applied: false, reason: sum, key } : checked
    }
    const content = { body: String(sum), expiresAt: found?.expiresAt }
    const result = found === undefined ? await this.#create(one, content, call) : await this.#over(one, content, found, call)
    return result.applied ? { ...result, sums: [sum] } : result
  }

  async #over(one: OneKey, content: Content, found: GcsObject, call: BackendCall | undefined): Promise<StateCommitResult> {
    return (await this.#write(one, content, found.generation, call)) ? APPLIED : refused(one.key)
  }

  async #delete(one: OneKey, call: BackendCall | undefined): Promise<StateCommitResult> {
    const { name, version } = one
    if (version === null) return this.#check(one, call)
    if (version !== undefined) {
      const { generation } = objectOf(version)!
      return (await this.#remove(name, generation, call)) === 'removed' ? DELETED : refused(one.key)
    }
    return this.#repeat(one.key, call, async () => {
      const found = liveOf(await this.#look(name, call))
      if (found === undefined) return APPLIED
      const result = await this.#remove(name, found.generation, call)
      return result === 'changed' ? undefined : result === 'removed' ? DELETED : APPLIED
    })
  }

  async #check({ key, name, version }: OneKey, call: BackendCall | undefined): Promise<StateCommitResult> {
    const found = await this.#bucket.look(name, call).catch(nothingApplied)
    const generation = liveOf(found)?.generation
    return generation === (version === null ? undefined : objectOf(version!)!.generation) ? APPLIED : refused(key)
  }

  /** True where it was written. */
  async #write({ name, note }: OneKey, content: Content, over: string | undefined, call?: BackendCall): Promise<boolean> {
    this.#known.forget(name)
    const generation = await this.#bucket.write(name, { ...content, note }, over, call)
    if (generation === undefined) return false
    this.#counters.noteIfSmall(name, { generation, expiresAt: content.expiresAt }, content.body)
    return true
  }

  #remove(name: string, generation: string, call: BackendCall | undefined): ReturnType<GcsBucket['remove']> {
    this.#known.forget(name)
    return this.#bucket.remove(name, generation, call)
  }

  /** What is known may be out of date: the write that follows finds out, and then it is known no longer. */
  async #look(name: string, call: BackendCall | undefined): Promise<GcsObject | undefined> {
    return liveOf(this.#known.get(name)) ?? this.#bucket.look(name, call).catch(nothingApplied)
  }

  /** Until the work gives a result; it gives none where somebody else was quicker. */
  async #repeat(
    key: string,
    call: BackendCall | undefined,
    work: () => Promise<StateCommitResult | undefined>,
  ): Promise<StateCommitResult> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const result = await work()
      if (result !== undefined) return result
      await backOff(attempt, call ?? {})
    }
    const message = `key ${JSON.stringify(key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`
    throw new HoldfastError('CONFLICT', message, { outcome: 'not-applied' })
  }
}

const DELETED: StateCommitResult = { applied: true, deleted: 1, sums: [] }

interface Content {
  readonly body: string | Uint8Array
  readonly expiresAt: number | undefined
}

function refused(key: string): StateCommitResult {
  return { applied: false, reason: 'check', key }
}

/** The one key that a commit names; undefined where it names none. */
function keyOf({ checks = [], set = [], add = [], delete: unwanted = [] }: StateCommit): string | undefined {
  const keys = new Set([...[...checks, ...set, ...add].map(({ key }) => key), ...unwanted])
  if (keys.size <= 1) return keys.values().next().value
  throw new HoldfastError('UNSUPPORTED', `a commit of ${keys.size} keys; Cloud Storage changes one object at a time`, {
    outcome: 'not-applied',
  })
}

/** A generation is never given twice, and the value of one expires at one time. */
export function versionOf({ generation, expiresAt }: GcsObject): string {
  return expiresAt === undefined ? generation : `${generation}.${expiresAt}`
}

/** Undefined for what is no version. */
function objectOf(version: string): GcsObject | undefined {
  const found = /^(\d+)(?:\.(\d+))?$/.exec(version)
  return found === null ? undefined : { generation: found[1]!, expiresAt: found[2] === undefined ? undefined : Number(found[2]) }
}

/** When the new value expires; `keep` as the present one does. */
function expiryOf({ ttlMs }: StateSet, present: GcsObject | undefined): number | undefined {
  if (ttlMs === 'keep') return present?.expiresAt
  return ttlMs === undefined ? undefined : Math.ceil(Date.now() + ttlMs)
}
