/** What is known of objects that were read, listed or written last: it saves a look before a write that holds only for what it expects. */
import type { GcsObject } from '../engines/gcs.ts'

export interface KnownObject extends GcsObject {
  /** Of a counter. */
  readonly value?: string | undefined
}

const MAX_OBJECTS = 5_000

export class KnownObjects {
  /** By name, least recently noted first. */
  readonly #objects = new Map<string, KnownObject>()

  get(name: string): KnownObject | undefined {
    return this.#objects.get(name)
  }

  note(name: string, { generation, expiresAt }: GcsObject, value?: string): void {
    this.#objects.delete(name)
    this.#objects.set(name, { generation, expiresAt, value })
    if (this.#objects.size > MAX_OBJECTS) this.#objects.delete(this.#objects.keys().next().value!)
  }

  forget(name: string): void {
    this.#objects.delete(name)
  }
}

/** The object, unless it has expired. */
export function liveOf<T extends GcsObject>(object: T | undefined): T | undefined {
  return object?.expiresAt !== undefined && object.expiresAt <= Date.now() ? undefined : object
}
