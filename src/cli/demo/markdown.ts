/** Markdown files into passages: each section on its own, long ones in several parts, with the heading they stand under. */
import { createHash } from 'node:crypto'

/** A passage as it is stored; `metadata` holds strings and numbers only, so that every engine can filter by it. */
export interface Passage {
  /** `file#anchor`, with `:2`, `:3` … for the further parts of a long section. Stable while the heading is. */
  readonly id: string
  readonly content: string
  readonly metadata: {
    readonly file: string
    /** The anchor of the heading, as code hosts make it. */
    readonly anchor: string
    readonly heading: string
    /** The headings above and this one: `Guide › Install`. */
    readonly trail: string
    readonly part: number
  }
}

interface Section {
  heading: string
  trail: string
  lines: string[]
}

/** Characters of one passage. Longer sections are split between paragraphs, longer paragraphs between lines. */
const PASSAGE_CHARS = 1_200
const MAX_ID_BYTES = 512

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$/
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/

export function toPassages(file: string, markdown: string): Passage[] {
  const anchors = new Map<string, number>()
  return toSections(file, markdown).flatMap(({ heading, trail, lines }) => {
    const anchor = uniqueAnchor(heading, anchors)
    return toParts(lines).map((content, i) => ({
      id: passageId(`${file}#${anchor}${i === 0 ? '' : `:${i + 1}`}`),
      content,
      metadata: { file, anchor, heading, trail, part: i + 1 },
    }))
  })
}

/** Text before the first heading belongs to a section named after the file. */
function toSections(file: string, markdown: string): Section[] {
  const path: string[] = []
  let section: Section = { heading: file, trail: file, lines: [] }
  const sections = [section]
  let fence: string | undefined
  for (const line of bodyLines(markdown)) {
    fence = fenceAfter(line, fence)
    const found = fence === undefined ? headingOf(line, section.lines) : undefined
    if (found === undefined) {
      section.lines.push(line)
      continue
    }
    path.length = Math.min(path.length, found.level - 1)
    path[found.level - 1] = found.text
    // A level that was left out is a hole, which filter passes over.
    section = { heading: found.text, trail: path.filter(() => true).join(' › '), lines: [] }
    sections.push(section)
  }
  return sections
}

/** The lines without a byte order mark and YAML front matter. */
function bodyLines(markdown: string): string[] {
  const lines = markdown.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const end = lines[0] === '---' ? lines.indexOf('---', 1) : -1
  return end < 0 ? lines : lines.slice(end + 1)
}

/** The fence that is open after this line: its characters, or undefined outside code. */
function fenceAfter(line: string, open: string | undefined): string | undefined {
  const marks = FENCE.exec(line)?.[1]
  if (marks === undefined) return open
  if (open === undefined) return marks
  return marks.startsWith(open) && line.trim() === marks ? undefined : open
}

/** The heading that this line makes; an underline takes the line before it out of `lines`, where it stood as text. */
function headingOf(line: string, lines: string[]): { level: number; text: string } | undefined {
  const marked = HEADING.exec(line)
  if (marked !== null) return { level: marked[1]!.length, text: marked[2] ?? '' }
  const underline = UNDERLINE.exec(line)?.[1]
  const above = lines.at(-1)?.trim() ?? ''
  const startsParagraph = (lines.at(-2) ?? '').trim() === ''
  if (underline === undefined || above === '' || !startsParagraph || !/^[\p{L}\p{N}"'(`*]/u.test(above)) return undefined
  lines.pop()
  return { level: underline.startsWith('=') ? 1 : 2, text: above }
}

/** Paragraphs joined up to the size of a passage; parts without a letter or digit are left out. */
function toParts(lines: readonly string[]): string[] {
  const parts: string[] = []
  for (const block of toBlocks(lines).flatMap(splitLong)) {
    const last = parts.at(-1)
    if (last !== undefined && last.length + block.length < PASSAGE_CHARS) parts[parts.length - 1] = `${last}\n\n${block}`
    else parts.push(block)
  }
  return parts.filter((part) => /[\p{L}\p{N}]/u.test(part))
}

/** Paragraphs: what blank lines separate, code blocks in one piece. */
export function toBlocks(lines: readonly string[]): string[] {
  const blocks: string[][] = [[]]
  let fence: string | undefined
  for (const line of lines) {
    fence = fenceAfter(line, fence)
    if (line.trim() === '' && fence === undefined) blocks.push([])
    else blocks.at(-1)!.push(line)
  }
  return blocks.filter((block) => block.length > 0).map((block) => block.join('\n'))
}

/** Every piece of a code block is a code block again. */
function splitLong(block: string): string[] {
  if (block.length <= PASSAGE_CHARS) return [block]
  const fence = FENCE.exec(block)?.[1]
  const lines = block.split('\n')
  if (fence === undefined) return joinLines(lines)
  const isClosed = lines.at(-1)!.trim().startsWith(fence)
  const pieces = joinLines(isClosed ? lines.slice(1, -1) : lines.slice(1))
  return pieces.map((piece) => `${lines[0]!}\n${piece}\n${fence}`)
}

/** Lines together up to the size of a passage. */
function joinLines(lines: readonly string[]): string[] {
  const pieces: string[] = []
  for (const line of lines.flatMap(splitLine)) {
    const last = pieces.at(-1)
    if (last === undefined || last.length + line.length >= PASSAGE_CHARS) pieces.push(line)
    else pieces[pieces.length - 1] = `${last}\n${line}`
  }
  return pieces
}

/** A line without an end, in pieces of at most a passage, not inside a character. */
function splitLine(line: string): string[] {
  if (line.length <= PASSAGE_CHARS) return [line]
  return line.match(new RegExp(`.{1,${PASSAGE_CHARS / 2}}(?:\\s|$)|.{1,${PASSAGE_CHARS / 2}}`, 'gsu')) ?? [line]
}

/** As code hosts write it: lower case, no punctuation, hyphens for spaces, `-1` for the second of a name. */
function uniqueAnchor(heading: string, taken: Map<string, number>): string {
  const slug = heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-')
  const count = taken.get(slug) ?? 0
  taken.set(slug, count + 1)
  return count === 0 ? slug : uniqueAnchor(`${slug}-${count}`, taken)
}

function passageId(id: string): string {
  if (Buffer.byteLength(id) <= MAX_ID_BYTES) return id
  return `sha256:${createHash('sha256').update(id).digest('hex')}`
}
