/** Answers taken word for word from the passages that were found, with their source. */
import { terms, type Weigh } from './lexical.ts'
import { toBlocks } from './markdown.ts'

/** What a hit of the search says about a passage. */
export interface Found {
  readonly file: string
  readonly anchor: string
  readonly heading: string
  readonly trail: string
  readonly content: string
  readonly score: number
}

export interface Answer {
  readonly text: string
  /** The passage that the text is from; undefined where nothing was found. */
  readonly source: Found | undefined
}

const NO_ANSWER = 'The documents say nothing about that.'

/** Characters that an answer may have before no further sentence is added. */
const ANSWER_CHARS = 240
/** The share of what a question asks (by weight of its words) that a passage must speak of. */
const LEAST_COVERAGE = 0.3

/**
 * The sentences that answer best. `lexicalOnly`: a passage counts only where it uses enough of the question's words; with a semantic
 * search the best hit counts in any case.
 */
export function answer(question: string, found: readonly Found[], weigh: Weigh, lexicalOnly: boolean): Answer {
  const asked = new Set(terms(question))
  const candidates = found
    .map((passage) => ({ passage, coverage: coverage(`${passage.trail} ${passage.content}`, asked, weigh) }))
    .filter(({ coverage }) => !lexicalOnly || coverage >= LEAST_COVERAGE)
    .flatMap(({ passage, coverage }) => rate(passage, coverage, asked, weigh))
  const best = candidates.reduce<Candidate | undefined>((a, b) => (a !== undefined && a.rating >= b.rating ? a : b), undefined)
  return best === undefined ? { text: NO_ANSWER, source: undefined } : { text: best.text, source: best.passage }
}

interface Candidate {
  readonly passage: Found
  readonly text: string
  readonly rating: number
}

/**
 * Every sentence of a passage with those that follow it in its paragraph. What lifts all of them: a heading that is what was asked, and
 * a passage that answers as a whole. Among equals the first sentence of a section introduces it.
 */
function rate(passage: Found, passageCoverage: number, asked: ReadonlySet<string>, weigh: Weigh): Candidate[] {
  const heading = coverage(passage.heading, asked, weigh) * share(passage.heading, asked)
  const base = passageCoverage + heading + passage.score / 2 - (isCode(passage.content) ? 2 : 0)
  return toUnits(passage.content).flatMap((sentences, u) =>
    sentences.map((sentence, i) => ({
      passage,
      text: withNext(sentences, i),
      rating: base + coverage(sentence, asked, weigh) + form(sentence, asked, weigh) + 0.3 / (1 + u + i),
    })),
  )
}

/** A sentence that begins with what was asked is about it; one that ends in a colon leaves the answer to what follows; a table row is terse. */
function form(sentence: string, asked: ReadonlySet<string>, weigh: Weigh): number {
  const begins = coverage(sentence.split(' ', 4).join(' '), asked, weigh)
  return 0.4 * begins - (sentence.endsWith(':') ? 0.15 : 0) - (sentence.startsWith('|') ? 0.15 : 0)
}

/** How much of what is asked the text speaks of, 0–1. */
function coverage(text: string, asked: ReadonlySet<string>, weigh: Weigh): number {
  const used = new Set(terms(text))
  let sum = 0
  let hit = 0
  for (const term of asked) {
    const weight = weigh(term)
    sum += weight
    if (used.has(term)) hit += weight
  }
  return sum === 0 ? 0 : hit / sum
}

/** How much of the text is about what is asked, 0–1. */
function share(text: string, asked: ReadonlySet<string>): number {
  const used = terms(text)
  return used.length === 0 ? 0 : used.filter((term) => asked.has(term)).length / used.length
}

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/** The sentences of each paragraph, list item and table row. Code is no answer, unless there is nothing else: then each line is one. */
function toUnits(content: string): string[][] {
  const blocks = toBlocks(content.split('\n')).filter((block) => !block.startsWith('<!--'))
  const prose = blocks.filter((block) => !isCode(block))
  if (prose.length === 0) return blocks.flatMap((block) => block.split('\n').slice(1, -1)).map((line) => [line])
  return prose.flatMap((block) => block.split(/\n(?=\s*(?:[-*+|>]|\d+[.)])\s)/)).map(toSentences)
}

function isCode(block: string): boolean {
  return /^ {0,3}(?:`{3,}|~{3,})/.test(block)
}

function toSentences(unit: string): string[] {
  const text = unit
    .trim()
    .replace(/^(?:[-*+>]|\d+[.)])\s+/, '')
    .replace(/\s+/g, ' ')
  return [...segmenter.segment(text)].map(({ segment }) => segment.trim()).filter((sentence) => /\p{L}/u.test(sentence))
}

function withNext(sentences: readonly string[], start: number): string {
  let text = sentences[start]!
  for (const next of sentences.slice(start + 1)) {
    if (text.length + next.length > ANSWER_CHARS) break
    text = `${text} ${next}`
  }
  return text.length > 2 * ANSWER_CHARS ? clip(text, 2 * ANSWER_CHARS) : text
}

/** Cut between words, with an ellipsis. */
function clip(text: string, length: number): string {
  const end = text.lastIndexOf(' ', length)
  return `${text.slice(0, end > 0 ? end : length).toWellFormed()} …`
}
