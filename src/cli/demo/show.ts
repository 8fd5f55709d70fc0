/** How the demo prints what it does. */
import { out, printable, printableLines, styled } from '../terminal.ts'
import type { Found } from './answer.ts'
import type { Saved } from './chat.ts'

const LABEL_WIDTH = 14

export function field(label: string, text: string): void {
  out(`${styled('bold', label.padEnd(LABEL_WIDTH))}${text}\n`)
}

/** What someone said, wrapped and without Markdown's asterisks and bars, and a note behind it. */
export function printTurn(who: string, text: string, note?: string): void {
  const lines = wrap(plain(text), width() - LABEL_WIDTH)
  const fits = note !== undefined && lines.at(-1)!.length + note.length + 2 <= width() - LABEL_WIDTH
  const end = lines.length - 1
  for (const [i, line] of lines.entries()) {
    out(
      `${styled('cyan', (i === 0 ? who : '').padEnd(LABEL_WIDTH))}${line}${fits && i === end ? styled('dim', `  ${note}`) : ''}\n`,
    )
  }
  if (note !== undefined && !fits) field('', styled('dim', note))
}

/** The beginning of what someone said, on one line. */
export function printTurnBriefly(who: string, text: string): void {
  const [first = '', ...rest] = wrap(plain(text), width() - LABEL_WIDTH - 2)
  out(`${styled('cyan', who.padEnd(LABEL_WIDTH))}${first}${rest.length === 0 ? '' : ' …'}\n`)
}

function plain(text: string): string {
  const line = printableLines(text).join(' ').replaceAll('**', '')
  return line.startsWith('|') ? line.replace(/^\|\s*|\s*\|\s*$/g, '').replaceAll(' | ', ' – ') : line
}

/** An answer with its source and the place in the session where it was saved. */
export function printAnswer({ text, source, answered }: Saved): void {
  const from = source === undefined ? '' : `from ${printable(sourceOf(source))} (score ${source.score.toFixed(2)}), `
  printTurn('docs', text)
  field('', styled('dim', `${from}saved message ${answered}`))
}

export function sourceOf({ file, anchor }: Found): string {
  return `${file}#${anchor}`
}

function width(): number {
  return Math.max(40, Math.min(process.stdout.columns || 100, 110))
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ').filter((word) => word !== '')) {
    if (line !== '' && line.length + word.length + 1 > columns) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
