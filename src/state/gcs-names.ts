/**
 * What objects are called: `<prefix><folder of the space>/<key>`. Cloud Storage lists by name, so names sort like keys. They are readable:
 * only what names may not hold is escaped. At most 1,024 bytes of UTF-8 in all.
 */
import { hash } from 'node:crypto'
import { compareBytes, isPlainText, MAX_ID_BYTES, successorOf } from '../store/text.ts'
import type { StateScan } from './contract.ts'

/**
 * A key of 512 bytes leaves no room for escapes of two or three bytes for each line break, so the controls U+0009–U+000D are written two at
 * a time: a tab, and one character that stands for both. That of a single one says also whether what follows sorts below or above these
 * five. So a key grows by half at most, and no two change places.
 */
const FIRST = 0x09
const LAST = 0x0d
/** Of each first control: alone, and less or nothing follows; with each second one; alone, and more follows. */
const CODES_EACH = LAST - FIRST + 3
const MORE_FOLLOWS = CODES_EACH - 1
const ZERO = 0x30

export function encodeKey(key: string): string {
  return key.replace(/[\t-\r]{1,2}/g, (run, at: number) => {
    const isMore = key.charCodeAt(at + run.length) > LAST
    const second = run.length === 2 ? run.charCodeAt(1) - FIRST + 1 : isMore ? MORE_FOLLOWS : 0
    return `\t${String.fromCharCode(ZERO + (run.charCodeAt(0) - FIRST) * CODES_EACH + second)}`
  })
}

/** Undefined for a name that no key has. */
export function decodeKey(name: string): string | undefined {
  const key = name.replace(/\t([0-R])/g, (_, char: string) => {
    const code = char.charCodeAt(0) - ZERO
    const second = code % CODES_EACH
    const first = String.fromCharCode(FIRST + Math.floor(code / CODES_EACH))
    return second === 0 || second === MORE_FOLLOWS ? first : first + String.fromCharCode(FIRST + second - 1)
  })
  const isKey = key !== '' && isPlainText(key) && Buffer.byteLength(key) <= MAX_ID_BYTES
  return isKey && encodeKey(key) === name ? key : undefined
}

/** Spaces whose names are readable in the folder's, and those that are only known by a digest. */
export const READABLE = 's-'
export const HASHED = 'h-'
/** Ends the folder's name. It sorts below all that a readable name is written with, so folders sort like spaces. */
export const FOLDER_END = '!'
const MAX_READABLE_BYTES = 120

/** Up to 124 bytes. */
export function folderOf(space: string): string {
  const name = encodeSpace(space)
  // oxlint-disable-next-line no-control-regex -- they would be legal, and are a nuisance to operators
  const isReadable = Buffer.byteLength(name) <= MAX_READABLE_BYTES && !/[\0-\x1f\x7f]/.test(name)
  const folder = isReadable ? READABLE + name : HASHED + hash('sha256', space, 'base64url')
  return `${folder}${FOLDER_END}/`
}

/** The characters up to `"` become `"0`, `"1`, `"2`; the order stays. */
export function encodeSpace(space: string): string {
  return space.replace(/[ !"]/g, (char) => `"${char.charCodeAt(0) - 0x20}`)
}

/** Undefined for a folder that no space has. */
export function decodeSpace(name: string): string | undefined {
  const space = name.replace(/"([0-2])/g, (_, code: string) => String.fromCharCode(0x20 + Number(code)))
  return encodeSpace(space) === name ? space : undefined
}

export interface NameRange {
  /** Inclusive. */
  readonly startOffset: string
  /** Exclusive. */
  readonly endOffset: string | undefined
}

/** Between which names the keys lie that a scan asks for; undefined where there can be none. */
export function keyRange(scan: StateScan): NameRange | undefined {
  // The least key behind another: there is no U+0000 in keys.
  return rangeOf(scan, encodeKey, (after) => encodeKey(`${after}\u0001`))
}

/** The same for the spaces with readable folders. */
export function spaceRange(scan: StateScan): NameRange | undefined {
  return rangeOf(scan, spaceBound, (after) => `${spaceBound(after)}"`)
}

/** Above the end mark of a name that ends here, and below all that goes on: no readable name has a control character. */
function spaceBound(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  const control = text.search(/[\0-\x1f]/)
  return control === -1 ? encodeSpace(text) : `${encodeSpace(text.slice(0, control))}"`
}

function rangeOf(
  { prefix, after }: StateScan,
  encode: (text: string) => string,
  behind: (text: string) => string,
): NameRange | undefined {
  const isBehind = after !== undefined && compareBytes(after, prefix) >= 0
  const end = successorOf(prefix)
  if (isBehind && end !== undefined && compareBytes(after, end) >= 0) return undefined
  return { startOffset: isBehind ? behind(after) : encode(prefix), endOffset: end === undefined ? undefined : encode(end) }
}

/** The same range, of names that all begin with `base`. */
export function rangeBelow(base: string, { startOffset, endOffset }: NameRange): NameRange {
  return { startOffset: base + startOffset, endOffset: endOffset === undefined ? undefined : base + endOffset }
}
