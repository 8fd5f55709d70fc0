/** Where a host listens. */
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { HoldfastError } from '../index.ts'

export interface Place {
  readonly host?: string | undefined
  readonly port?: number | undefined
}

/** Resolves when it listens. A port that is taken: `UNAVAILABLE`. */
export async function listen(server: Server, { host = '127.0.0.1', port = 0 }: Place): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new HoldfastError('UNAVAILABLE', `cannot listen on ${host}:${port} (${code}); choose another port`, { cause })
  }
  // One connection that cannot be accepted is no reason to end.
  server.on('error', () => undefined)
}

/** `host:port`. */
export function addressOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
