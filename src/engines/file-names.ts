/** Names of files for any text, so that hostile ids can harm no path and two ids never meet in one file. */
import { hash } from 'node:crypto'

/** Leaves room for what is put before and behind it within the 255 bytes that file systems take. */
const MAX_NAME = 180
/** Taken as they are. A point in front hides a file, and one at the end is dropped by Windows, so those are escaped. */
const PLAIN = /^[a-z0-9_-](?:[a-z0-9_.-]*[a-z0-9_-])?$/
/** Devices on Windows, whatever extension they have. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/
const SAFE_BYTE = /[a-z0-9_.-]/

/**
 * The name of the file that belongs to a text: the text itself where it is a safe name; else with `=` and two hex digits for each unsafe
 * byte; and `~` with its SHA-256 where that is too long. Different texts have different names, also where case and Unicode form do not
 * count. It holds only a–z, 0–9 and `_ . - = ~`, does not begin with a point, and does not end with `~`.
 */
export function fileName(text: string): string {
  if (PLAIN.test(text) && text.length <= MAX_NAME && !DEVICE.test(text)) return text
  const name = escaped(text)
  return name.length <= MAX_NAME ? name : `~${hash('sha256', text, 'hex')}`
}

/** The text whose name this is; undefined where it is not told by the name, or no text has it. */
export function textOfFileName(name: string): string | undefined {
  if (name.startsWith('~')) return undefined
  const text = Buffer.from(
    name.replaceAll(/=([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString()
  const plain = name === '=' ? '' : text
  return fileName(plain) === name ? plain : undefined
}

function escaped(text: string): string {
  if (text === '') return '='
  const bytes = [...Buffer.from(text)]
  const device = DEVICE.test(text)
  return bytes
    .map((byte, i) => {
      const char = String.fromCharCode(byte)
      const atEdge = (i === 0 || i === bytes.length - 1) && char === '.'
      return SAFE_BYTE.test(char) && !atEdge && !(device && i === 0) ? char : `=${byte.toString(16).padStart(2, '0')}`
    })
    .join('')
}
