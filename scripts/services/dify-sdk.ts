/** The Python SDK of Dify's plugins, from PyPI, in an environment of its own: nothing runs, tests start plugins with it. */
import { existsSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { installHere } from './chroot.ts'
import { logged, output } from './command.ts'
import type { Installable } from './engine.ts'
import { DIFY_SDK } from './pins.ts'

export const difySdk: Installable = {
  name: 'dify-sdk',
  isInstalled: (home) => existsSync(pythonOf(home)),
  install,
}

const folderOf = (home: string): string => join(home, `dify-sdk-${DIFY_SDK}`)

/** The interpreter that has the SDK. */
export function pythonOf(home: string): string {
  return join(folderOf(home), 'bin', 'python')
}

async function install(home: string): Promise<void> {
  if (!(await hasVenv())) await installHere(home, 'python3-venv')
  const folder = folderOf(home)
  const part = `${folder}.part`
  const log = join(home, 'logs', 'pip.log')
  await rm(part, { recursive: true, force: true })
  await logged(['python3', '-m', 'venv', part], log)
  await logged([join(part, 'bin', 'python'), '-m', 'pip', 'install', '--quiet', `dify_plugin==${DIFY_SDK}`], log)
  await output([join(part, 'bin', 'python'), '-c', 'import dify_plugin'], { timeoutMs: 120_000 })
  // Whoever was interrupted before this leaves nothing that counts as installed.
  renameSync(part, folder)
}

async function hasVenv(): Promise<boolean> {
  return output(['python3', '-c', 'import ensurepip, venv']).then(
    () => true,
    () => false,
  )
}
