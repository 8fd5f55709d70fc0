import { HoldfastError, type HoldfastErrorDetails, type Kind } from '../errors.ts'

/** An error about one backend, which its message names. */
export function failure(
  target: { readonly kind: Kind; readonly name: string },
  code: HoldfastError['code'],
  message: string,
  details: HoldfastErrorDetails = {},
): HoldfastError {
  const { kind, name } = target
  return new HoldfastError(code, `${kind} backend "${name}": ${message}`, { kind, backend: name, ...details })
}
