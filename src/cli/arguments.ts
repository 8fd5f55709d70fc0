/** What the definitions of commands share: how arguments are read, and how an action is made of a function. */
import { InvalidArgumentError, type Command } from 'commander'
import type { Kind } from '../index.ts'

/** Makes an action for commander of a function that gets the options, global ones included, and then the arguments. */
export type Act = (
  handler: (options: never, ...args: never[]) => Promise<number>,
) => (this: Command, ...given: unknown[]) => Promise<void>

/** Written out, because the library is not loaded for a help text. */
export const KINDS = ['conversation', 'knowledge', 'state'] as const satisfies readonly Kind[]

export function example(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

export function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.')
  return value
}

export function positiveInteger(text: string): number {
  const value = wholeNumber(text)
  if (value === 0) throw new InvalidArgumentError('It must be at least 1.')
  return value
}

/** Seconds, fractions included. */
export function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0) || value === Infinity)
    throw new InvalidArgumentError('It must be a number of seconds greater than 0.')
  return value
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Milliseconds of `90m`, `12h`, `30d`, `8w`. */
export function age(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhdw])$/.exec(text) ?? []
  const ms = Number(count) * UNIT_MS[unit ?? '']!
  // No date is further back.
  if (!(ms > 0) || ms > Date.now()) throw new InvalidArgumentError('It must be a number with s, m, h, d or w, such as 30d.')
  return ms
}
