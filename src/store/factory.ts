/** How a backend is made: what every backend file exports and what the registries call. */
import type { Kind } from '../errors.ts'
import type { OptionsSchema } from './options.ts'

/** What a factory gets besides its checked options. */
export interface FactoryContext {
  readonly kind: Kind
  /** Canonical name under which the backend was asked for. */
  readonly name: string
  /** Imports an optional client library; `MISSING_CLIENT` with the install command where it is not there. */
  loadClient<T>(packageName: string): Promise<T>
}

export interface BackendFactory<O extends object, B> {
  (options: O, context: FactoryContext): B | Promise<B>
  /** Where present, the registry checks the options against it before the call. A factory without one gets them unchecked. */
  readonly schema?: OptionsSchema<O>
}

/** A factory whose options the registry checks: unknown, missing and wrong ones are all listed in one `INVALID_OPTIONS`. */
export function defineBackend<O extends object, B>(
  schema: OptionsSchema<O>,
  create: (options: O, context: FactoryContext) => B | Promise<B>,
): BackendFactory<O, B> {
  return Object.assign((options: O, context: FactoryContext) => create(options, context), { schema })
}
