/** How the demo prints what it does. */
import { out, printable, printableLines, styled } from '../terminal.ts'
import type { Found } from './answer.ts'
import type { Saved } from './chat.ts'

const LABEL_WIDTH = 10

export function field(label: string, text: string): void {
  out(`${styled('bold', label.padEnd(LABEL_WIDTH))}${text}\n`)
}

/** What someone said, wrapped; with `maxLines` the rest is left out. */
export function printTurn(who: string, text: string, maxLines = Infinity): void {
  const lines = wrap(printableLines(text).join(' '), width() - LABEL_WIDTH)
  const shown = lines.slice(0, maxLines)
  if (shown.length < lines.length) shown.push(`${shown.pop()!.slice(0, width() - LABEL_WIDTH - 2)} …`)
  for (const [i, line] of shown.entries()) out(`${styled('cyan', (i === 0 ? who : '').padEnd(LABEL_WIDTH))}${line}\n`)
}

/** An answer with its source and the place in the session where it was saved. */
export function printAnswer({ text, source, answered }: Saved): void {
  printTurn('docs', text)
  const from = source === undefined ? '' : `from ${printable(sourceOf(source))} (score ${source.score.toFixed(2)}), `
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
