/** Harnesses for the suites: over backends in this process, and over stores that a registry opens on a server. */
import type { Harness } from '../../src/conformance/case.ts'
import { wireOutage } from '../../src/conformance/run.ts'
import type { Kind } from '../../src/errors.ts'
import { CATALOGUES } from '../../src/registry/catalogues.ts'
import { storeClass, type Backends, type Stores } from '../../src/registry/contract-check.ts'
import { StoreRegistry } from '../../src/registry/index.ts'
import type { FactoryContext } from '../../src/store/factory.ts'
import type { Proxy } from '../faults/proxy.ts'

/** Data that stores can be opened on, any number of times. */
export interface Place<S> {
  open(): Promise<Opened<S>>
  remove(): Promise<unknown>
}

export interface Opened<S> {
  readonly store: S
  cut(): void | Promise<void>
  heal(): void | Promise<void>
}

/** A harness whose cases get a new place each; `make` makes it. */
export function harnessOver<S extends object>(make: () => Promise<Place<S>>): Harness<S> {
  const places = new WeakMap<S, Opened<S> & { readonly place: Place<S> }>()
  const openAt = async (place: Place<S>): Promise<S> => {
    const opened = await place.open()
    places.set(opened.store, { ...opened, place })
    return opened.store
  }
  return {
    open: async () => openAt(await make()),
    reopen: (store) => openAt(places.get(store)!.place),
    cut: async (store) => places.get(store)!.cut(),
    heal: async (store) => places.get(store)!.heal(),
    dispose: async (store) => void (await places.get(store)!.place.remove()),
  }
}

/** Backends that need nothing but this process. */
export interface LocalPlace<B> {
  connect(): B | Promise<B>
  remove(): Promise<unknown>
}

export interface LocalOptions<K extends Kind> {
  readonly breaks?: ((backend: Backends[K]) => Backends[K]) | undefined
  readonly breaksStore?: ((store: Stores[K]) => Stores[K]) | undefined
  /** Default 0: tests of outages would only wait. */
  readonly retries?: number | undefined
}

/** Handles share what `make` gives, each over a backend of its own that can be cut off. */
export function localHarness<K extends Kind>(
  kind: K,
  name: string,
  make: () => Promise<LocalPlace<Backends[K]>>,
  { breaks = (backend) => backend, breaksStore = (store) => store, retries = 0 }: LocalOptions<K> = {},
): Harness<Stores[K]> {
  return harnessOver(async () => {
    const Store = await storeClass(kind)
    const { connect, remove } = await make()
    const open = async (): Promise<Opened<Stores[K]>> => {
      const { backend, cut, heal } = wireOutage(await connect())
      return { store: breaksStore(new Store(breaks(backend), { name, retries })), cut, heal }
    }
    return { open, remove }
  })
}

/** What a factory of a backend in this process gets. */
export function localContext(kind: Kind, name: string): FactoryContext {
  return { kind, name, loadClient: (client) => Promise.reject(new Error(`${client} is not needed`)) }
}

/** Where one case keeps its data on a server. */
export interface ServerPlace {
  /** For `create`; the proxy's address in place of the server's. */
  readonly options: object
  /** Removes the data; not by way of the proxy. */
  remove(): Promise<unknown>
}

/** Stores of a built-in backend as users open them, on a server behind a proxy that can be cut. */
export function serverHarness<K extends Kind>(
  kind: K,
  name: string,
  make: () => Promise<ServerPlace & { readonly proxy: Proxy }>,
): Harness<Stores[K]> {
  const registry = builtIn(kind)
  return harnessOver(async () => {
    const { options, remove, proxy } = await make()
    const open = async (): Promise<Opened<Stores[K]>> => ({
      store: await registry.create(name, { retries: 0, ...options } as never),
      cut: () => proxy.cut(),
      heal: () => proxy.heal(),
    })
    return { open, remove }
  })
}

/** A registry of the built-in backends of a kind, apart from the global one. */
export function builtIn<K extends Kind>(kind: K): StoreRegistry<K> {
  return new StoreRegistry(kind, { catalogue: CATALOGUES[kind] })
}
