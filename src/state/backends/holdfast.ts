/** State on another Holdfast, over HTTP. */
import { HOLDFAST_OPTIONS, HoldfastServer, type HoldfastOptions, type Remote } from '../../engines/holdfast.ts'
import { fromBase64, toBase64 } from '../../store/base64.ts'
import type { BackendCall, Limits } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import type {
  StateBackend,
  StateCapabilities,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateSet,
  StateValue,
} from '../contract.ts'

export type HoldfastStateOptions = HoldfastOptions

export const create = defineBackend<HoldfastStateOptions, StateBackend>(HOLDFAST_OPTIONS, async (options) => {
  const server = new HoldfastServer(options)
  return new HoldfastState(server, await server.about<StateCapabilities>('state'))
})

type WireValue = string | { readonly bytes: string }
type WireEntry = Omit<StateEntry, 'value'> & { readonly value: WireValue }

class HoldfastState implements StateBackend {
  readonly capabilities: StateCapabilities
  readonly limits: Limits
  readonly encrypted: boolean
  readonly listSpaces?: NonNullable<StateBackend['listSpaces']>
  readonly #server: HoldfastServer

  constructor(server: HoldfastServer, { capabilities, limits, encrypted, has }: Remote<StateCapabilities>) {
    this.#server = server
    // JSON has no Infinity.
    this.capabilities = { ...capabilities, commitKeys: capabilities.commitKeys ?? Infinity }
    this.limits = limits
    this.encrypted = encrypted
    if (has.includes('listSpaces')) this.listSpaces = (scan, call) => server.call('state', 'listSpaces', { scan }, call)
  }

  async get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    const found = await this.#server.call<(WireEntry | null)[]>('state', 'get', { space, keys }, call)
    return found.map((entry) => (entry === null ? undefined : { ...entry, value: fromWire(entry.value) }))
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    const set = commit.set?.map(({ value, ...rest }: StateSet) => ({ ...rest, value: toWire(value) }))
    return this.#server.call('state', 'commit', { space, commit: { ...commit, set } }, call)
  }

  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#server.call('state', 'scan', { space, scan }, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#server.ping('state', call)
  }

  async close(): Promise<void> {
    // Each request stands for itself.
  }
}

function toWire(value: StateValue): WireValue {
  return typeof value === 'string' ? value : { bytes: toBase64(value) }
}

function fromWire(value: WireValue): StateValue {
  return typeof value === 'string' ? value : fromBase64(value.bytes)
}
