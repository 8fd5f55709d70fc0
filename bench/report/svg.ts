/** SVG as text: just what charts need, with everything from outside escaped. */

type Attributes = Readonly<Record<string, string | number>>

/** An element; `inside` is markup already. */
export function element(name: string, attributes: Attributes, inside: string | readonly string[] = ''): string {
  const given = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${escaped(typeof value === 'number' ? short(value) : value)}"`,
  )
  const markup = typeof inside === 'string' ? inside : inside.join('\n')
  return markup === '' ? `<${name}${given.join('')}/>` : `<${name}${given.join('')}>${markup}</${name}>`
}

export function text(attributes: Attributes, words: string): string {
  return element('text', attributes, escaped(words))
}

/** Safe between tags and in quotes. */
export function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** A tenth of a pixel is more than anyone sees. */
function short(value: number): string {
  return String(Math.round(value * 10) / 10)
}
