/** State in Valkey, or Redis, by the client `iovalkey`. */
import { redisSchema, type RedisOptions } from '../../engines/redis-options.ts'
import { dialIoRedis, type IoRedis } from '../../engines/redis-wires.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend } from '../contract.ts'
import { openRedisState, redisCapabilities } from '../redis.ts'

export type ValkeyStateOptions = RedisOptions

export const capabilities = redisCapabilities

export const create = defineBackend<ValkeyStateOptions, StateBackend>(redisSchema('VALKEY_URL'), (options, context) =>
  openRedisState(options, async () => dialIoRedis(await context.loadClient<IoRedis>('iovalkey'))),
)
