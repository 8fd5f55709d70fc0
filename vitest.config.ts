import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // On CI's machine, which is busy with a dozen servers, one test among ten thousand must not decide: it is tried again, and named.
    retry: process.env['CI'] === undefined ? 0 : 1,
    pool: 'forks',
    // Child processes and worker threads of tests strip the types of the sources once, not each time anew. Node's own place for it.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache') },
    globalSetup: './test/global-setup.ts',
    reporters: ['default', './test/reporter.ts'],
  },
})
