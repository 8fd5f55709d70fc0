/** Builds and packs the package once for all tests that try what ships. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

const ROOT = join(import.meta.dirname, '..')

declare module 'vitest' {
  interface ProvidedContext {
    /** Absolute path of the packed tarball. */
    tarball: string
  }
}

export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))
  // Type errors are the business of `npm run typecheck`; the compiler writes its output all the same, and other tests can run.
  spawnSync('npm', ['run', 'build', '--silent'], { cwd: ROOT, stdio: 'ignore' })
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  project.provide('tarball', join(folder, fileName(packed)))
  return () => rmSync(folder, { recursive: true, force: true })
}

/** npm 10 prints an array, npm 11 an object by package name. */
function fileName(json: string): string {
  const [packed] = Object.values(JSON.parse(json) as Record<string, { filename: string }>)
  if (packed === undefined) throw new Error('npm pack named no file')
  return packed.filename
}
