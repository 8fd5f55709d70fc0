/** What plugin storage must do on any state store: DESIGN.md's sentences, and the defects of storages before it, each as a case. */
import { PluginHost } from '../plugin-storage/host.ts'
import type { StateStore } from '../state/store.ts'
import type { ConformanceCase } from './case.ts'
import { concurrencyCases } from './plugin-storage/concurrency.ts'
import { encryptionCases } from './plugin-storage/encryption.ts'
import { keyCases } from './plugin-storage/keys.ts'
import { largeCases } from './plugin-storage/large.ts'
import { lifetimeCases } from './plugin-storage/lifetimes.ts'
import { quotaCases } from './plugin-storage/quota.ts'
import { scopeCases } from './plugin-storage/scopes.ts'
import { overState, type HostFactory } from './plugin-storage/support.ts'
import { valueCases } from './plugin-storage/values.ts'

const CASES = [
  ...valueCases,
  ...keyCases,
  ...scopeCases,
  ...quotaCases,
  ...lifetimeCases,
  ...largeCases,
  ...concurrencyCases,
  ...encryptionCases,
]

/** The cases for hosts of another making. */
export function pluginStorageCasesOf(createHost: HostFactory): ConformanceCase<StateStore>[] {
  return CASES.map((each) => overState(each, createHost))
}

/** They run over the harness of a state store. */
export const pluginStorageCases = pluginStorageCasesOf((options) => new PluginHost(options))
