/** A Debian of our own beside the machine's: its programs are newer, and nothing of the machine is changed. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCommand, logged, output } from './command.ts'
import { MIRROR, PACKAGES, PROGRAMS, SUITE } from './pins.ts'
import { killInhabitants } from './process.ts'

export function rootOf(home: string): string {
  return join(home, SUITE)
}

export function isChrootInstalled(home: string): boolean {
  return missingIn(rootOf(home)).length === 0
}

function missingIn(root: string): string[] {
  // Links in there may be absolute, so they are not followed.
  return PROGRAMS.filter((program) => lstatSync(join(root, program), { throwIfNoEntry: false }) === undefined)
}

/** Whether programs may be run in there at all: `chroot` and mounts are the superuser's. */
export function checkPrivileges({ platform, uid } = { platform: process.platform as string, uid: process.getuid?.() }): void {
  if (platform === 'linux' && uid === 0) return
  throw new Error(
    'the servers run in a Debian chroot, which only root on Linux can make: run this as root, for instance in a container ' +
      '(docker run --privileged), or run the tests without servers, which they then report as not run',
  )
}

/**
 * Everything the program sees besides the chroot is mounted in a namespace that ends with it, so there is never anything to unmount:
 * its folder at /srv, /proc, and the machine's devices with a shared memory of their own.
 */
const ENTER = `set -e
root=$1 folder=$2 user=$3; shift 3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --bind "$folder" "$root/srv"
exec chroot --userspec="$user" "$root" "$@"`

export interface Inside {
  readonly home: string
  /** The folder of the machine that stands at /srv. */
  readonly folder: string
  readonly user: string
  /** Killed by the system when the process that starts it ends. */
  readonly isPrivate?: boolean
}

/** The command line that runs a program in the chroot, as itself: the process that it starts is the program. */
export function inside({ home, folder, user, isPrivate = false }: Inside, argv: readonly string[]): string[] {
  const enter = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'sh', rootOf(home), folder, user]
  return [...enter, ...(isPrivate ? tied(argv) : argv)]
}

/** Makes a folder the property of a user that only the chroot knows by name; before its servers start, since it looks at every file. */
export async function giveTo({ home, folder, user }: Inside): Promise<void> {
  const users = readFileSync(join(rootOf(home), 'etc/passwd'), 'utf8')
  const [, uid, gid] = new RegExp(`^${user}:[^:]*:(\\d+):(\\d+):`, 'm').exec(users) ?? []
  if (uid === undefined) throw new Error(`no user ${user} in ${rootOf(home)}`)
  await output(['chown', '-R', `${uid}:${gid}`, folder])
}

/** Ends by force what in the chroot still has a folder as its own. */
export async function clear(home: string, folder: string): Promise<void> {
  if (existsSync(rootOf(home))) await killInhabitants(realpathSync(rootOf(home)), realpathSync(folder))
}

/** It stands innermost, since a change of user forgets the wish. */
export function tied(argv: readonly string[]): string[] {
  return ['setpriv', '--pdeathsig', 'KILL', '--', ...argv]
}

/** A short program that needs nothing but the chroot's files and the network. */
export async function ask(home: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  return output(['chroot', rootOf(home), ...argv], { env: { ...env, HOME: '/root' }, timeoutMs: 10_000 })
}

/** From nothing about a minute. An installation is whole or it is not there: it gets its name last. */
export async function installChroot(home: string): Promise<void> {
  if (isChrootInstalled(home)) return
  checkPrivileges()
  const root = rootOf(home)
  const part = `${root}.part`
  if (existsSync(root)) throw new Error(`${root} lacks ${missingIn(root).join(', ')}: remove it and run npm run services again`)
  await removeTree(part)
  if (!(await hasCommand('debootstrap'))) await installHere(home, 'debootstrap')
  await logged(['debootstrap', '--variant=minbase', SUITE, part, MIRROR], join(home, 'logs', 'debootstrap.log'))
  preparePackages(part)
  const apt = `export DEBIAN_FRONTEND=noninteractive; apt-get update -q && apt-get install -y -q --no-install-recommends "$@" && apt-get clean`
  const folder = join(home, 'data')
  const argv = inside({ home, folder, user: 'root' }, ['sh', '-c', apt, 'sh', ...PACKAGES])
  await logged(
    argv.map((arg) => (arg === root ? part : arg)),
    join(home, 'logs', 'apt.log'),
  )
  const missing = missingIn(part)
  if (missing.length > 0) throw new Error(`${part} lacks ${missing.join(', ')} after the installation`)
  renameSync(part, root)
}

/** Packages start no servers in there, and reach the mirror as the machine's do. */
function preparePackages(root: string): void {
  const policy = join(root, 'usr/sbin/policy-rc.d')
  writeFileSync(policy, '#!/bin/sh\nexit 101\n')
  chmodSync(policy, 0o755)
  if (existsSync('/etc/resolv.conf')) copyFileSync('/etc/resolv.conf', join(root, 'etc/resolv.conf'))
  const configurations = '/etc/apt/apt.conf.d'
  for (const name of existsSync(configurations) ? readdirSync(configurations) : []) {
    const text = readFileSync(join(configurations, name), 'utf8')
    if (/proxy/i.test(text)) writeFileSync(join(root, configurations, name), text)
  }
  mkdirSync(join(root, 'srv'), { recursive: true })
}

/** A package of the machine's own Debian. */
export async function installHere(home: string, name: string): Promise<void> {
  if (!(await hasCommand('apt-get')))
    throw new Error(`${name} is missing, and there is no apt-get to install it: install ${name} by hand`)
  const log = join(home, 'logs', 'apt.log')
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  await logged(['apt-get', 'update', '-q'], log, { env })
  await logged(['apt-get', 'install', '-y', '-q', '--no-install-recommends', name], log, { env })
}

/** Never through a mount: what an interrupted installation of other tools left mounted is unmounted first. */
async function removeTree(path: string): Promise<void> {
  if (!existsSync(path)) return
  const mounts = (await output(['cat', '/proc/self/mounts'])).split('\n').map((line) => line.split(' ')[1] ?? '')
  for (const mount of mounts.filter((each) => each.startsWith(`${path}/`)).toReversed()) await output(['umount', '--lazy', mount])
  await rm(path, { recursive: true, force: true })
}
