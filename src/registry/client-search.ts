/** Where client libraries are, and in which version, without importing them. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ClientPackage } from '../store/factory.ts'
import { isObject, locatePackage, packageVersion, readPackage } from './packages.ts'

const HERE = dirname(fileURLToPath(import.meta.url))

/** Where a client is looked for, in this order. */
export interface ClientSearch {
  /** Folder of the package that the backend comes from; left out: Holdfast's own. */
  readonly directory?: string | undefined
  readonly appRoot?: string | undefined
}

/** The folder of a client. */
export function locateClient(name: string, { directory = HERE, appRoot }: ClientSearch): string | undefined {
  return locatePackage(name, directory) ?? (appRoot === undefined ? undefined : locatePackage(name, appRoot))
}

/** The installed version of a client, or undefined where it is not installed. */
export function installedVersion(client: ClientPackage, search: ClientSearch): string | undefined {
  const folder = locateClient(client.package, search)
  return folder === undefined ? undefined : (packageVersion(folder) ?? 'unknown')
}

/** The versions of a client that a plugin's package.json asks for, or undefined where it says nothing. */
export function declaredRange(name: string, directory: string | undefined): string | undefined {
  if (directory === undefined) return undefined
  const json = readPackage(directory)
  const fields = [json['peerDependencies'], json['optionalDependencies'], json['dependencies']]
  return fields
    .flatMap((field) => (isObject(field) && Object.hasOwn(field, name) ? [field[name]] : []))
    .find((range) => typeof range === 'string')
}
