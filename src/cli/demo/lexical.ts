/**
 * A lexical embedder: hashed words and word pairs. It knows which words a text uses, not what they mean; it needs no model and no
 * network, and so serves to show and to test. A real one comes as `embed` from a config file.
 */

/** Numbers in an embedding; a power of two. */
export const DIMENSION = 1024

/** How much a word tells: words that few passages use tell most. */
export type Weigh = (term: string) => number

// Question words and the commonest function words: rare ones among them would otherwise seem to be what a question is about.
const STOP_WORDS = new Set(
  `a about all also an and any are as at be been but by can could did do does for from had has have how i if in into is it its may me my
  no not of on one or our over shall should so some such tell than that the their them then there these they this to under up us was we were
  what when where which while who whom whose why will with work would you your`.split(/\s+/),
)

// Scripts without spaces between words: there a character counts as a word, and pairs of them do the work.
const WORD = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{N}\p{M}_]+/gu

/** The words of a text that tell something, in order, lower-cased and without their commonest endings. */
export function terms(text: string): string[] {
  const words = text.normalize('NFKC').toLowerCase().match(WORD) ?? []
  return words.filter((word) => !STOP_WORDS.has(word)).map(stem)
}

function stem(word: string): string {
  if (word.length < 5) return word.length === 4 && word.endsWith('s') && !word.endsWith('ss') ? word.slice(0, -1) : word
  return word
    .replace(/ies$/, 'y')
    .replace(/(?:ing|ed|(?<=[sxz]|ch|sh)es|(?<!s)s)$/, '')
    .replace(/(?<=..)e$/, '')
}

/** Words and pairs of neighbours. */
export function features(text: string): string[] {
  const words = terms(text)
  return [...words, ...words.slice(1).map((word, i) => `${words[i]!} ${word}`)]
}

/** The text as a vector of length 1. A text without any word gives a fixed direction that no other text has reason to share. */
export function embed(text: string, weigh: Weigh = () => 1): Float32Array {
  const vector = new Float32Array(DIMENSION)
  for (const [feature, count] of countOf(features(text))) {
    const code = hash(feature)
    const sign = code >= 0x80000000 ? -1 : 1
    vector[code & (DIMENSION - 1)]! += sign * (1 + Math.log(count)) * weigh(feature)
  }
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  if (norm === 0) vector[0] = 1
  return norm === 0 ? vector : vector.map((value) => value / norm)
}

/** Weights from how many of the texts use a feature: ln(1 + n / uses); one that none uses counts as used once. */
export function weighBy(texts: readonly string[]): Weigh {
  const uses = countOf(texts.flatMap((text) => [...new Set(features(text))]))
  return (feature) => Math.log(1 + texts.length / (uses.get(feature) ?? 1))
}

function countOf(items: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

/** FNV-1a over UTF-16 units, 32 bits, with a last mix so that the low bits depend on all of it. */
function hash(text: string): number {
  let code = 0x811c9dc5
  for (let i = 0; i < text.length; i++) code = Math.imul(code ^ text.charCodeAt(i), 0x01000193)
  code = Math.imul(code ^ (code >>> 16), 0x85ebca6b)
  return (code ^ (code >>> 13)) >>> 0
}
