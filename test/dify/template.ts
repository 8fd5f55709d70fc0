/** The template of a plugin, as somebody has it who has copied it. */
import { cp, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT, scratch } from '../support.ts'

export async function template(): Promise<string> {
  const folder = await scratch()
  await cp(join(ROOT, 'examples', 'plugin-typescript'), folder, { recursive: true })
  await mkdir(join(folder, 'node_modules'))
  await symlink(ROOT, join(folder, 'node_modules', 'holdfast'))
  return folder
}
