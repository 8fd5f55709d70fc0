/** Counts the statements that SQLite runs in this process. */
import { StatementSync } from 'node:sqlite'

let statements = 0

export function statementsRun(): number {
  return statements
}

/** Has `called` told of each call of a method. */
export function watchCalls(prototype: object, name: string, called: (args: unknown[]) => void): void {
  const own = Reflect.get(prototype, name) as (...args: unknown[]) => unknown
  const watched = function (this: unknown, ...args: unknown[]): unknown {
    called(args)
    return Reflect.apply(own, this, args)
  }
  Object.defineProperty(prototype, name, { value: watched, configurable: true, writable: true })
}

for (const name of ['run', 'get', 'all', 'iterate']) watchCalls(StatementSync.prototype, name, () => statements++)
