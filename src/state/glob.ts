/** Patterns of keys: `*` any text, `?` one code point, `\` takes the next code point as it is. Everything else stands for itself. */

const STAR = -1
const ANY = -2

export interface Glob {
  /** What every match begins with. */
  readonly prefix: string
  /** No wildcard: `prefix` is the only match. */
  readonly exact: boolean
  matches(text: string): boolean
}

/** A `\` at the very end stands for itself. */
export function compileGlob(pattern: string): Glob {
  const tokens = tokenise(pattern)
  const wildcard = tokens.findIndex((token) => token < 0)
  const literal = wildcard === -1 ? tokens : tokens.slice(0, wildcard)
  return {
    prefix: literal.map((point) => String.fromCodePoint(point)).join(''),
    exact: wildcard === -1,
    matches: (text) => matches(tokens, text),
  }
}

/** Code points, `STAR` and `ANY`. */
function tokenise(pattern: string): number[] {
  const tokens: number[] = []
  let escaped = false
  for (const char of pattern) {
    if (!escaped && char === '\\') {
      escaped = true
      continue
    }
    tokens.push(!escaped && char === '*' ? STAR : !escaped && char === '?' ? ANY : char.codePointAt(0)!)
    escaped = false
  }
  if (escaped) tokens.push('\\'.codePointAt(0)!)
  return tokens
}

/** Goes back to the last star only, so the time is at most pattern × text; a regular expression may take exponential time. */
function matches(tokens: readonly number[], text: string): boolean {
  let at = 0
  let next = 0
  let star = -1
  let resume = 0
  while (at < text.length) {
    const token = tokens[next]
    const point = text.codePointAt(at)!
    if (token === STAR) {
      star = next++
      resume = at
      if (next === tokens.length) return true
    } else if (token === ANY || token === point) {
      next++
      at += width(point)
    } else {
      if (star === -1) return false
      resume += width(text.codePointAt(resume)!)
      at = resume
      next = star + 1
    }
  }
  while (tokens[next] === STAR) next++
  return next === tokens.length
}

function width(point: number): 1 | 2 {
  return point > 0xffff ? 2 : 1
}
