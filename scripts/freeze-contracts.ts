/**
 * Writes the contracts as they are now to `test/contracts/v<version>.ts`, from the declarations that `npm run build` made. Run once when a
 * version is made; from then on the file is what that version was.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { API_VERSION } from '../src/store/api-version.ts'

const ROOT = join(import.meta.dirname, '..')
const PARTS = ['store/contract', 'knowledge/filter', 'conversation/contract', 'knowledge/contract', 'state/contract']
const COMMENTS = /^ *\/\*\*[^]*?\*\/\n/gm

/** Types only: the contracts themselves do nothing. Declarations begin where a line does. */
function typesIn(declarations: string): string {
  const pieces = declarations.replaceAll(COMMENTS, '').split(/^(?=export |import )/m)
  return pieces.filter((piece) => /^export (?:interface|type) /.test(piece)).join('')
}

const parts = await Promise.all(PARTS.map((part) => readFile(join(ROOT, 'dist', `${part}.d.ts`), 'utf8')))
const head = [
  `/** The contracts of version ${API_VERSION}, as they were frozen: their types, without their words. Never edited by hand. */`,
  `type Kind = 'conversation' | 'knowledge' | 'state'`,
]
await writeFile(join(ROOT, 'test', 'contracts', `v${API_VERSION}.ts`), [...head, ...parts.map(typesIn)].join('\n'))
