/** Commits on DynamoDB: one request where nothing is in the way, and what to do where something is. */
import { randomBytes } from 'node:crypto'
import type { DynamoEngine, Unmet } from '../engines/dynamodb.ts'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { StateCommit, StateCommitResult } from './contract.ts'
import type { LastSums } from './dynamodb-commits.ts'
import { readItem, type Stored } from './dynamodb-items.ts'
import { readStored } from './dynamodb-reads.ts'
import {
  condition,
  refusalOf,
  writeOf,
  type Action,
  type Moment,
  type Refusal,
  type Seen,
  type Write,
} from './dynamodb-writes.ts'
import { backOff, MAX_ATTEMPTS, nothingApplied } from './space.ts'

/** How often a write is sent again of which nobody knows whether it was applied. */
const MAX_RESENT = 3

/** What one commit works on. */
export interface CommitTask {
  readonly engine: DynamoEngine
  readonly sums: LastSums
  readonly space: string
  readonly commit: StateCommit
  /** At least one. */
  readonly actions: readonly Action[]
  readonly call: BackendCall
}

export class CommitRun {
  readonly #engine: DynamoEngine
  readonly #sums: LastSums
  readonly #space: string
  readonly #commit: StateCommit
  readonly #actions: readonly Action[]
  readonly #call: BackendCall
  /** What this run takes to be there; the conditions of its writes hold it to that. */
  readonly #seen = new Map<string, Seen>()
  /** Which of it is remembered from before this run, and so refuses nothing. */
  readonly #remembered = new Set<string>()

  constructor({ engine, sums, space, commit, actions, call }: CommitTask) {
    this.#engine = engine
    this.#sums = sums
    this.#space = space
    this.#commit = commit
    this.#actions = actions
    this.#call = call
  }

  async result(): Promise<StateCommitResult> {
    const [only] = this.#actions
    if (this.#isAlone && changesNothing(only!)) return this.#checked(only!)
    await this.#look(this.#actions.filter((action) => this.#mustKnow(action) && !this.#remember(action)))
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const refusal = this.#refusal()
      const result = refusal === undefined ? await this.#attempt() : await this.#confirmed(refusal)
      if (result !== undefined) return result
      await backOff(attempt, this.#call)
    }
    throw new HoldfastError('CONFLICT', `the keys were changed by others at each of ${MAX_ATTEMPTS} attempts`, {
      outcome: 'not-applied',
    })
  }

  get #isAlone(): boolean {
    return this.#actions.length === 1
  }

  /** A transaction tells no sums, so additions in one are made here; what comes by itself DynamoDB adds up. */
  #mustKnow({ check, add }: Action): boolean {
    return add !== undefined && (!this.#isAlone || check === null)
  }

  #remember({ key }: Action): boolean {
    const seen = this.#sums.get(this.#space, key)
    if (seen === undefined) return false
    this.#seen.set(key, seen)
    this.#remembered.add(key)
    return true
  }

  async #look(actions: readonly Action[]): Promise<undefined> {
    if (actions.length === 0) return undefined
    const keys = actions.map(({ key }) => key)
    const found = await readStored(this.#engine, this.#space, keys, Date.now(), this.#call).catch(nothingApplied)
    for (const key of keys) this.#see(key, found.get(key))
    return undefined
  }

  #see(key: string, stored: Stored | undefined): void {
    this.#seen.set(key, stored ?? 'absent')
    this.#remembered.delete(key)
  }

  async #checked(action: Action): Promise<StateCommitResult> {
    await this.#look([action])
    return refusalOf(action, this.#seen.get(action.key)!) ?? this.#applied([])
  }

  #refusal(): Refusal | undefined {
    for (const action of this.#actions) {
      const seen = action.add && this.#seen.get(action.key)
      const refusal = seen && refusalOf(action, seen)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  /**
   * A sum that is refused while a check fails is the check's affair: the commit may have been meant for other values. So the checks are
   * looked at together with what is summed; undefined where that has changed.
   */
  async #confirmed(refusal: Refusal): Promise<Refusal | undefined> {
    const again = this.#actions.filter(({ key }) => key === refusal.key)
    if (this.#remembered.has(refusal.key)) return this.#look(again)
    const others = this.#actions.filter(({ key, check }) => check !== undefined && key !== refusal.key)
    if (refusal.reason === 'check' || others.length === 0) return refusal
    const seen = this.#seen.get(refusal.key)!
    const moment = this.#moment()
    const conditions = others.map(({ key, check }) => condition(key, check!, moment))
    const summed = condition(refusal.key, seen === 'absent' ? null : seen.version, moment)
    const unmet = await this.#transact([...conditions, summed]).catch(nothingApplied)
    if (unmet === undefined) return refusal
    const failed = others.find((_, i) => unmet.has(i))
    if (failed !== undefined) return { applied: false, reason: 'check', key: failed.key }
    return this.#look(again)
  }

  /** Undefined where something else was there than seen. */
  async #attempt(): Promise<StateCommitResult | undefined> {
    const moment = this.#moment()
    const writes = this.#actions.map((action) => writeOf(action, this.#seen.get(action.key), moment))
    if (!this.#isAlone) {
      const unmet = await this.#transact(writes)
      if (unmet !== undefined) return this.#learn(unmet)
      this.#keepSums(writes, moment)
      return this.#applied(writes)
    }
    const sent = await this.#sendAlone(writes[0]!, moment)
    return 'unmet' in sent ? this.#learn(sent.unmet) : this.#applied([{ ...writes[0]!, ...sent }])
  }

  /** Every attempt has a version of its own: whoever finds it knows which attempt was applied. */
  #moment(): Moment {
    return { space: this.#space, version: randomBytes(12).toString('base64url'), now: Date.now() }
  }

  #transact(writes: readonly Write[]): Promise<Unmet | undefined> {
    const actions = writes.map(({ operation, input }) => ({ [operation]: this.#named(input) }))
    return this.#engine.transact(actions, this.#call)
  }

  #named(input: object): object {
    return { TableName: this.#engine.table, ...input }
  }

  #applied(writes: readonly Write[]): StateCommitResult {
    const sums = new Map(writes.map(({ sum }, i) => [this.#actions[i]!.key, sum]))
    return {
      applied: true,
      deleted: writes.filter((write) => write.deletes === true).length,
      sums: (this.#commit.add ?? []).map(({ key }) => sums.get(key)!),
    }
  }

  #keepSums(writes: readonly Write[], { version }: Moment): void {
    for (const [i, { key, add }] of this.#actions.entries()) {
      if (add === undefined) continue
      const seen = this.#seen.get(key)!
      const expiresAt = seen === 'absent' ? undefined : seen.expiresAt
      this.#sums.keep(this.#space, key, { value: String(writes[i]!.sum), version, expiresAt })
    }
  }

  /** What the conditions that did not hold say; undefined: try again. */
  #learn(unmet: Unmet): StateCommitResult | undefined {
    for (const [i, action] of this.#actions.entries()) {
      if (!unmet.has(i)) continue
      const { key, check, add } = action
      if (add !== undefined) this.#see(key, readItem(unmet.get(i), Date.now()))
      else if (check !== undefined) return { applied: false, reason: 'check', key }
      else if (this.#isAlone && action.delete === true) return this.#applied([])
      // It was taken to be there, or not to have expired; the other way round, then.
      else if (!this.#seen.delete(key)) this.#seen.set(key, 'absent')
    }
    return undefined
  }

  /** Where the answer is lost, the item tells by its version whether the write was applied. */
  async #sendAlone(write: Write, moment: Moment): Promise<{ readonly sum?: number } | { readonly unmet: Unmet }> {
    let lost: unknown
    for (let resent = 0; ; resent++) {
      try {
        const result = await this.#engine.write(
          `${write.operation as 'Put' | 'Update' | 'Delete'}Item`,
          this.#named(write.input),
          this.#call,
        )
        if ('output' in result) return write.sum === undefined ? summedIn(result.output) : { sum: write.sum }
        if (lost === undefined) return result
      } catch (error) {
        if (!mayBeApplied(error)) throw lost === undefined ? error : withOutcome(error, 'unknown')
        lost ??= error
      }
      const found = await this.#found(lost)
      if (found?.version === moment.version) return typeof found.value === 'string' ? { sum: Number(found.value) } : {}
      // The version that it replaces comes but once, so that the write cannot be applied twice.
      const isThere = found !== undefined && found.version === write.replaces
      if (!isThere || resent >= MAX_RESENT) throw lost
    }
  }

  async #found(lost: unknown): Promise<Stored | undefined> {
    const { key } = this.#actions[0]!
    try {
      return (await readStored(this.#engine, this.#space, [key], Date.now(), this.#call)).get(key)
    } catch {
      // The write's own error says more.
      throw lost
    }
  }
}

function changesNothing(action: Action): boolean {
  return action.set === undefined && action.add === undefined && (action.delete !== true || action.check === null)
}

function mayBeApplied(error: unknown): boolean {
  return isHoldfastError(error, 'UNAVAILABLE') && error.outcome === 'unknown'
}

/** The sum that DynamoDB tells of an addition; nothing of other writes. */
function summedIn(output: Readonly<Record<string, unknown>>): { readonly sum?: number } {
  const { Attributes } = output as { Attributes?: { value?: { N?: string } } }
  return Attributes?.value?.N === undefined ? {} : { sum: Number(Attributes.value.N) }
}
