import assert from 'node:assert/strict'
import { relative } from 'node:path'
import { describe, it } from 'vitest'
import { resolveSubpath } from '../src/registry/exports.ts'
import type { JsonObject, JsonValue } from '../src/store/contract.ts'
import { scratch } from './registry-support.ts'

const FILES = {
  'a.js': '',
  'a.cjs': '',
  'index.js': '',
  'lib/b.mjs': '',
  'lib/deep/c.js': '',
  'node_modules/x/y.js': '',
  'main.js': '',
  'a b.js': '',
}

function resolve(exports: JsonValue | undefined, subpath: string, more: JsonObject = {}): string {
  const folder = scratch(FILES)
  return relative(folder, resolveSubpath(folder, exports === undefined ? more : { exports, ...more }, subpath))
}

describe('a subpath of a package', () => {
  it.each<[string, JsonValue, string, string]>([
    ['a string', './a.js', '.', 'a.js'],
    ['conditions of the package itself', { import: './a.js', require: './a.cjs' }, '.', 'a.js'],
    ['a table', { './f': './a.js' }, './f', 'a.js'],
    ['the first condition that holds', { './f': { browser: './index.js', node: './a.js', default: './main.js' } }, './f', 'a.js'],
    ['import rather than require', { './f': { require: './a.cjs', import: './a.js' } }, './f', 'a.js'],
    ['default where nothing else holds', { './f': { require: './a.cjs', default: './main.js' } }, './f', 'main.js'],
    ['nested conditions', { './f': { node: { require: './a.cjs', import: './a.js' }, default: './main.js' } }, './f', 'a.js'],
    [
      'the next condition where a nested one has none',
      { './f': { node: { require: './a.cjs' }, default: './main.js' } },
      './f',
      'main.js',
    ],
    ['the first usable item of an array', { './f': ['bare', { require: './a.cjs' }, './a.js'] }, './f', 'a.js'],
    ['a pattern', { './*': './lib/*.mjs' }, './b', 'lib/b.mjs'],
    ['a pattern over folders', { './x/*': './lib/*' }, './x/deep/c.js', 'lib/deep/c.js'],
    ['a pattern with an ending', { './*.js': './lib/deep/*.js' }, './c.js', 'lib/deep/c.js'],
    ['the most specific pattern', { './*': './main.js', './deep/*': './lib/deep/*.js' }, './deep/c', 'lib/deep/c.js'],
    ['the exact entry rather than a pattern', { './*': './main.js', './f': './a.js' }, './f', 'a.js'],
    ['an escaped name', { './f': './a%20b.js' }, './f', 'a b.js'],
  ])('follows %s', (_, exports, subpath, expected) => {
    assert.equal(resolve(exports, subpath), expected)
  })
})

describe('a subpath that leads nowhere', () => {
  it.each<[string, JsonValue, string, RegExp]>([
    ['what is not exported', { './f': './a.js' }, './g', /do not give/],
    ['what only require gets', { './f': { require: './a.cjs' } }, './f', /do not give/],
    ['what null forbids', { './*': './lib/*.mjs', './b': null }, './b', /do not give/],
    ['null before a default', { './f': { import: null, default: './a.js' } }, './f', /do not give/],
    ['a file that is not there', { './f': './none.js' }, './f', /not there/],
    ['a folder', { './f': './lib' }, './f', /not there/],
    ['another package', { './f': 'other' }, './f', /not a path in the package/],
    ['an absolute path', { './f': '/etc/passwd' }, './f', /not a path in the package/],
    ['a URL', { './f': 'data:text/javascript,1' }, './f', /not a path in the package/],
    ['a path that leads out', { './f': './../../etc/passwd' }, './f', /out of the package/],
    ['an escaped path that leads out', { './f': './%2e%2e/%2e%2e/etc/passwd' }, './f', /out of the package/],
    ['another package’s folder', { './f': './node_modules/x/y.js' }, './f', /out of the package/],
    ['an escaped slash', { './f': './lib%2fb.mjs' }, './f', /./],
    ['numbers', { './f': 1 }, './f', /do not give/],
    ['a pattern for nothing', { './f*': './lib/*' }, './f', /do not give/],
  ])('refuses %s', (_, exports, subpath, text) => {
    assert.throws(() => resolve(exports, subpath), text)
  })

  it('stops at conditions nested without end', () => {
    let exports: JsonValue = './a.js'
    for (let i = 0; i < 10_000; i++) exports = { import: exports }
    assert.throws(() => resolve(exports, '.'), /do not give/)
  })
})

describe('a subpath of a package without exports', () => {
  it.each<[string, JsonObject, string]>([
    ['.', { main: './main.js' }, 'main.js'],
    ['.', { main: './main' }, 'main.js'],
    ['.', { main: 'lib/deep/none' }, 'index.js'],
    ['.', {}, 'index.js'],
    ['./a', {}, 'a.js'],
    ['./lib/b', {}, 'lib/b.mjs'],
    ['./lib/deep/c.js', {}, 'lib/deep/c.js'],
  ])('finds %s in a package without exports (%o)', (subpath, json, expected) => {
    assert.equal(resolve(undefined, subpath, json), expected)
  })

  it('keeps inside a package without exports', () => {
    assert.throws(() => resolve(undefined, '.', { main: '../../../../../../etc/passwd' }), /out of the package/)
    assert.throws(() => resolve(undefined, './node_modules/x/y.js'), /out of the package/)
  })
})
