/** Plugins on the real Python SDK, where it is installed. */
import { existsSync } from 'node:fs'
import { describe } from 'vitest'
import { pythonOf } from '../../scripts/services/dify-sdk.ts'
import { servicesHome } from '../../scripts/services/home.ts'
import { scratch } from '../support.ts'
import { writePlugin, type PluginFiles } from './plugin-folder.ts'

/** The SDK in an environment of its own, as `npm run services dify-sdk` installs it. */
export const PYTHON = pythonOf(servicesHome())

const REASON = 'the Dify SDK is not installed: npm run services dify-sdk'
const required = (process.env['HOLDFAST_REQUIRE'] ?? '').split(',')

/** Tests that need the SDK; where it is missing they are reported as not run, or fail where it is required. */
export function withSdk(title: string, body: () => void): void {
  const isMissing = !existsSync(PYTHON) && !required.some((name) => name === 'all' || name === 'dify-sdk')
  describe(title, isMissing ? { skip: true, meta: { notRun: REASON } } : {}, body)
}

/** A folder with the plugin. */
export async function pluginFolder(files: PluginFiles): Promise<string> {
  const folder = await scratch()
  await writePlugin(folder, files)
  return folder
}
