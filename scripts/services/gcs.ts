/** fake-gcs-server, an emulator of Google Cloud Storage by others, built from its source. */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { tied } from './chroot.ts'
import { hasCommand, logged } from './command.ts'
import type { Engine, Place, Plan } from './engine.ts'
import { FAKE_GCS_SERVER } from './pins.ts'
import { freePort } from './ports.ts'

const PROGRAM = 'fake-gcs-server'

export const gcs: Engine = {
  name: 'gcs',
  engine: PROGRAM,
  category: 'other emulator',
  isInstalled: (home) => existsSync(join(folderOf(home), PROGRAM)),
  install,
  plan,
  answer: async ({ url }) => {
    const response = await fetch(`${url}/storage/v1/b?project=test`, { signal: AbortSignal.timeout(5_000) })
    const body = await response.text()
    if (!response.ok) throw new Error(`${response.status} ${body.slice(0, 200)}`)
    return FAKE_GCS_SERVER.slice(1)
  },
}

const folderOf = (home: string): string => join(home, `gcs-${FAKE_GCS_SERVER.slice(1)}`)

async function install(home: string): Promise<void> {
  if (gcs.isInstalled(home)) return
  if (!(await hasCommand('go'))) throw new Error(`${PROGRAM} is built by Go: install Go 1.24 or newer (https://go.dev/dl)`)
  const folder = folderOf(home)
  const part = `${folder}.part`
  await rm(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true })
  const build = ['go', 'install', `github.com/fsouza/fake-gcs-server@${FAKE_GCS_SERVER}`]
  await logged(build, join(home, 'logs', 'go.log'), { env: { GOBIN: part, GOFLAGS: '-mod=mod' }, cwd: part })
  if (!existsSync(join(part, PROGRAM))) throw new Error(`Go left no ${PROGRAM} in ${part}`)
  renameSync(part, folder)
}

async function plan({ home, folder, log, isPrivate }: Place): Promise<Plan> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const data = isPrivate ? ['-backend', 'filesystem', '-filesystem-root', join(folder, 'data')] : ['-backend', 'memory']
  const network = [
    '-scheme',
    'http',
    '-host',
    '127.0.0.1',
    '-port',
    String(port),
    '-external-url',
    url,
    '-public-host',
    `127.0.0.1:${port}`,
  ]
  const argv = [join(folderOf(home), PROGRAM), ...network, ...data, '-log-level', 'warn']
  return { processes: [{ name: 'gcs', argv: isPrivate ? tied(argv) : argv, port, log: log('gcs') }], service: { url } }
}
