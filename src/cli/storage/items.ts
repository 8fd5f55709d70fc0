/** Lists that are printed while they are read, so that none is ever held whole. */
import { harmlessJson, writeTo } from '../terminal.ts'

/** `{"items":[…]}`. */
export async function printItems(items: AsyncIterable<unknown>): Promise<void> {
  let before = '{"items":['
  for await (const item of items) {
    await writeTo(process.stdout, `${before}\n  ${harmlessJson(JSON.stringify(item))}`)
    before = ','
  }
  await writeTo(process.stdout, before === ',' ? '\n]}\n' : `${before}]}\n`)
}

export async function count(items: AsyncIterable<unknown>): Promise<number> {
  let sum = 0
  for await (const _ of items) sum++
  return sum
}

/** Groups of up to `size`. */
export async function* grouped<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[], void> {
  let group: T[] = []
  for await (const item of items) {
    group.push(item)
    if (group.length < size) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}
