/** Whether a text is well-formed XML, as far as SVG without doctype, comments and processing instructions goes; or what is wrong. */

const TOKEN = /<(?<close>\/?)(?<name>[A-Za-z][\w:-]*)(?<attributes>(?:\s+[\w:-]+="[^"<]*")*)\s*(?<empty>\/?)>|(?<text>[^<]+)/gy
const ENTITY = /&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i

export function wellFormed(xml: string): string {
  const open: string[] = []
  let roots = 0
  let end = 0
  for (const { index, 0: all, groups } of xml.matchAll(TOKEN)) {
    end = index + all.length
    if (ENTITY.test(all)) return `a bare & in ${all.slice(0, 80)}`
    if (groups!['text'] !== undefined) {
      if (open.length === 0 && all.trim() !== '') return `text outside of the root: ${all.trim().slice(0, 80)}`
      continue
    }
    const name = groups!['name']!
    if (hasTwice(groups!['attributes']!)) return `an attribute twice in ${all.slice(0, 80)}`
    if (groups!['close'] === '/') {
      const last = open.pop()
      if (last !== name) return `</${name}> where </${last ?? 'nothing'}> was due`
    } else {
      if (open.length === 0) roots++
      if (groups!['empty'] !== '/') open.push(name)
    }
  }
  if (end !== xml.length) return `no XML: ${xml.slice(end, end + 80)}`
  if (open.length > 0) return `<${open.at(-1)}> is not closed`
  return roots === 1 ? 'well-formed' : `${roots} roots`
}

function hasTwice(attributes: string): boolean {
  const names = [...attributes.matchAll(/([\w:-]+)="/g)].map(([, name]) => name)
  return new Set(names).size !== names.length
}
