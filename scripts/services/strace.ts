/** `strace`, by which tests count what a process asks of the disk; from the machine's own Debian. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { installHere } from './chroot.ts'
import type { Installable } from './engine.ts'

export const strace: Installable = {
  name: 'strace',
  isInstalled: () => (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'strace'))),
  install: (home) => installHere(home, 'strace'),
}
