/** Assembles src/knowledge/kernel.wat into src/knowledge/kernel-binary.ts. `--check` only says whether that is up to date. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import wabt from 'wabt'

const folder = join(import.meta.dirname, '..', 'src', 'knowledge')
const source = join(folder, 'kernel.wat')
export const target = join(folder, 'kernel-binary.ts')
const LINE = 100
const FEATURES = { simd: true, threads: true } as const

/** The module that the source gives: the same bytes on every machine. */
export async function buildKernel(): Promise<string> {
  const { parseWat } = await wabt()
  const parsed = parseWat('kernel.wat', await readFile(source, 'utf8'), FEATURES)
  try {
    parsed.resolveNames()
    const { buffer } = parsed.toBinary({ write_debug_names: false })
    return moduleText(Buffer.from(buffer).toString('base64'))
  } finally {
    parsed.destroy()
  }
}

function moduleText(base64: string): string {
  const lines = base64.match(new RegExp(`.{1,${LINE}}`, 'g'))!.map((line) => `  '${line}',`)
  return [
    '/** Made by `node scripts/build-kernel.ts` from kernel.wat; not to be changed by hand. */',
    'export const KERNEL_BASE64 = [',
    ...lines,
    "].join('')",
    '',
  ].join('\n')
}

if (import.meta.main) {
  const built = await buildKernel()
  if (!process.argv.includes('--check')) await writeFile(target, built)
  else if ((await readFile(target, 'utf8')) !== built) {
    console.error('kernel-binary.ts is not what kernel.wat gives: run node scripts/build-kernel.ts')
    process.exitCode = 1
  }
}
