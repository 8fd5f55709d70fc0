/** State in Redis, or Valkey, by the client `redis`. */
import { redisSchema, type RedisOptions } from '../../engines/redis-options.ts'
import { dialNodeRedis, type NodeRedis } from '../../engines/redis-wires.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend } from '../contract.ts'
import { openRedisState, redisCapabilities } from '../redis.ts'

export type RedisStateOptions = RedisOptions

export const capabilities = redisCapabilities

export const create = defineBackend<RedisStateOptions, StateBackend>(redisSchema('REDIS_URL'), (options, context) =>
  openRedisState(options, async () => dialNodeRedis(await context.loadClient<NodeRedis>('redis'))),
)
