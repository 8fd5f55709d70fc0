/**
 * Writes the contracts as they are now to `test/contracts/v<version>.ts`, from the declarations that `npm run build` made. Run once when a
 * version is made; from then on the file is what that version was.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { API_VERSION } from '../src/store/api-version.ts'

const ROOT = join(import.meta.dirname, '..')
const PARTS = ['errors', 'store/contract', 'knowledge/filter', 'conversation/contract', 'knowledge/contract', 'state/contract']
/** Types only: the contracts themselves do nothing. */
const VALUES = /^export declare (?:function|const|class) [^]*?(?:;\n(?=\S|$)|^}\n)/gm
const COMMENTS = /^ *\/\*\*[^]*?\*\/\n/gm

const parts = await Promise.all(PARTS.map((part) => readFile(join(ROOT, 'dist', `${part}.d.ts`), 'utf8')))
const text = parts
  .join('\n')
  .replaceAll(/^import [^;]*;\n/gm, '')
  .replaceAll(VALUES, '')
  .replaceAll(COMMENTS, '')
  .replaceAll(/\n{2,}/g, '\n')
const head = `/** The contracts of version ${API_VERSION}, as they were frozen: their types, without their words. Never edited by hand. */\n`
await writeFile(join(ROOT, 'test', 'contracts', `v${API_VERSION}.ts`), head + text)
