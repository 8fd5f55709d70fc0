/** What is written where: hostile text made harmless, tables, and progress for people who watch. */
import { once } from 'node:events'
import { styleText } from 'node:util'

/** Control, format and private characters, lone surrogates and line separators; not the joiners that scripts and emoji need. */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * Text as one line without any power over a terminal: what would move the cursor, change colours, reverse the reading order or
 * forge lines becomes a visible escape.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeOf)
}

/** Like `printable`, but lines stay lines, and tabs become spaces. */
export function printableLines(text: string): string[] {
  return text.split(/\r\n|\n/).map((line) => printable(line.replaceAll('\t', '  ')))
}

function escapeOf(character: string): string {
  const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character]
  return named ?? `\\u{${character.codePointAt(0)!.toString(16)}}`
}

/** JSON text in which no character has power over a terminal; it parses to the same value. */
export function harmlessJson(json: string): string {
  return json.replace(/[\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const segmenter = new Intl.Segmenter()

/** Cuts text to a number of characters, as people count them, with an ellipsis. */
export function clip(text: string, length: number): string {
  // Longer than any text of that many characters is likely to be, so that a long one is not counted through.
  const characters = charactersOf(text.slice(0, 16 * length))
  return characters.length <= length && text.length <= 16 * length ? text : `${characters.slice(0, length - 1).join('')}…`
}

function charactersOf(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment)
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[], indent = ''): string {
  const lengths = rows.map((row) => row.map((cell) => charactersOf(cell).length))
  const widths = rows.reduce<number[]>((most, row, r) => row.map((_, i) => Math.max(most[i] ?? 0, lengths[r]![i]!)), [])
  const pad = (cell: string, r: number, i: number): string => cell + ' '.repeat(widths[i]! - lengths[r]![i]!)
  return rows
    .map(
      (row, r) =>
        `${indent}${row
          .map((cell, i) => pad(cell, r, i))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

export function out(text: string): void {
  process.stdout.write(text)
}

/** Without a limit is a number that JSON lacks. */
export function printJson(value: unknown): void {
  const json = JSON.stringify(value, (_, member: unknown) => (member === Infinity ? 'unlimited' : member), 2)
  out(`${harmlessJson(json)}\n`)
}

/** Writes to a stream and waits where its reader is slower. */
export async function writeTo(stream: NodeJS.WritableStream, text: string | Uint8Array): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain')
}

/** Plain text where the output is not a terminal that shows styles. */
export function styled(style: 'bold' | 'dim' | 'cyan' | 'green' | 'red' | 'yellow', text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

export interface Progress {
  show(text: string): void
  /** Takes the line away again. */
  end(): void
}

/** One line on stderr that is written over, ten times a second at most; nothing where stderr is not a terminal. */
export function progress(): Progress {
  if (!process.stderr.isTTY) return { show: () => undefined, end: () => undefined }
  let last = 0
  return {
    show: (text) => {
      const now = performance.now()
      if (now - last < 100) return
      last = now
      process.stderr.write(`\r\u001b[K${clip(printable(text), (process.stderr.columns ?? 80) - 1)}`)
    },
    end: () => void process.stderr.write('\r\u001b[K'),
  }
}

/** `5 messages`, `1 message`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? noun : nouns}`
}

/** A reader that has gone (`| head`) wants no more: that is the end, and no failure. */
export function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      process.exit(0)
    })
  }
}

/** `512 B`, `64 KB`, `1.2 MB`. */
export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`
  return count < 1_000_000 ? `${Math.round(count / 1_000)} KB` : `${(count / 1_000_000).toFixed(1)} MB`
}
