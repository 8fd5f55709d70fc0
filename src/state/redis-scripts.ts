/**
 * What state does inside Redis and Valkey. Each script runs alone and to its end, so that what it does is atomic; none walks over more than
 * a bounded number of keys, since nobody else is served meanwhile.
 *
 * A space is: its values, each a plain string under a key of its own; `index`, a sorted set of its keys, all with score 0, so that they are
 * in bytewise order; and `ends`, a sorted set of the keys with a TTL by the time at which they end. The server removes a value when its
 * time is over; its name stays in the two sets until a later script comes by, and counts no more from that very moment on. While there are
 * keys, `ends` also holds the empty name: a cluster that moves a slot refuses scripts that name keys which are not there.
 */
import { redisScript } from '../engines/redis.ts'

/** Milliseconds since 1970, once a script. A key whose time has come lives through that millisecond, as the server has it. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local past = string.format('(%.0f', now)
`

/** Removes the names of up to so many expired keys. */
const SWEEP = `
local function sweep(count)
  local names = redis.call('ZRANGE', ends, '-inf', past, 'BYSCORE', 'LIMIT', 0, count)
  if #names == 0 then return end
  redis.call('ZREM', index, unpack(names))
  redis.call('ZREM', ends, unpack(names))
  if redis.call('EXISTS', index) == 0 then redis.call('DEL', ends) end
end
`

/** Reading must not fail because memory is full. */
const READ_FLAGS = 'allow-oom'

const GET = `
local reply = {}
for i, key in ipairs(KEYS) do
  reply[2 * i - 1] = redis.call('GET', key)
  reply[2 * i] = redis.call('PTTL', key)
end
return reply
`

/** KEYS: values. Gives each value, or nil, and its milliseconds left, -1 without a TTL. */
export const GET_SCRIPT = redisScript(GET, { flags: READ_FLAGS, readOnly: GET })

/** Two digests, so that nobody can make two values with one version: no known way makes both collide. */
export const VERSION_SALT = 'v'

/**
 * KEYS: index, ends, and the values to check, to set, to delete and to add to, in this order.
 * ARGV: bytes that names of values begin with; the four numbers; the versions (`-`: absent); the new values and their TTL in ms (``: none,
 * `keep`); what to add, and the maximum, or ``.
 * Gives `''`, the number deleted and the sums; or why nothing was done, and at which key of its kind.
 */
const COMMIT = `
local index, ends = KEYS[1], KEYS[2]
local cut = tonumber(ARGV[1]) + 1
local checks, sets, deletes, adds = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
${NOW}${SWEEP}
local function integer(text)
  text = text:gsub('^[ \\t\\r\\n]+', ''):gsub('[ \\t\\r\\n]+$', '')
  local digits, rest = text:match('^%-?(%d+)(.*)$')
  if not digits or (#digits > 1 and digits:sub(1, 1) == '0') then return nil end
  if rest:sub(1, 1) == '.' then
    rest = rest:match('^%.%d+(.*)$')
    if not rest then return nil end
  end
  if rest ~= '' and not rest:match('^[eE][+-]?%d+$') then return nil end
  return tonumber(text)
end
local function safe(number)
  return number and number == math.floor(number) and math.abs(number) <= 9007199254740991
end

local key, arg = 2, 5
for i = 1, checks do
  local value, version = redis.call('GET', KEYS[key + i]), ARGV[arg + i]
  if version == '-' then
    if value then return { 'check', i } end
  elseif not value or redis.sha1hex(value) .. redis.sha1hex('${VERSION_SALT}' .. value) ~= version then
    return { 'check', i }
  end
end
key, arg = key + checks, arg + checks

local sums, news = {}, {}
local firstAdd, firstBy = key + sets + deletes, arg + 2 * sets
for i = 1, adds do
  local value = redis.call('GET', KEYS[firstAdd + i])
  local number = 0
  if value then number = integer(value) end
  if not safe(number) then return { 'not-integer', i } end
  local sum = number + tonumber(ARGV[firstBy + 2 * i - 1])
  if not safe(sum) then return { 'not-integer', i } end
  local max = ARGV[firstBy + 2 * i]
  if max ~= '' and sum > tonumber(max) then return { 'max', i } end
  sums[i], news[i] = string.format('%.0f', sum + 0), not value
end

-- From here on nothing may fail: what is of another type says so now.
local had = redis.call('ZCARD', index)
redis.call('ZCARD', ends)
for i = 1, sets do
  local name, ttl = KEYS[key + i]:sub(cut), ARGV[arg + 2 * i]
  local value = ARGV[arg + 2 * i - 1]
  if ttl == 'keep' and redis.call('EXISTS', KEYS[key + i]) == 1 then
    redis.call('SET', KEYS[key + i], value, 'KEEPTTL')
  elseif ttl == '' or ttl == 'keep' then
    redis.call('SET', KEYS[key + i], value)
    redis.call('ZREM', ends, name)
  else
    local at = string.format('%.0f', now + tonumber(ttl))
    redis.call('SET', KEYS[key + i], value, 'PXAT', at)
    redis.call('ZADD', ends, at, name)
  end
  redis.call('ZADD', index, 0, name)
end
for i = 1, adds do
  local name = KEYS[firstAdd + i]:sub(cut)
  if news[i] then
    redis.call('SET', KEYS[firstAdd + i], sums[i])
    redis.call('ZREM', ends, name)
    redis.call('ZADD', index, 0, name)
  else
    redis.call('SET', KEYS[firstAdd + i], sums[i], 'KEEPTTL')
  end
end
if had == 0 and sets + adds > 0 then redis.call('ZADD', ends, '+inf', '') end

key = key + sets
local deleted = 0
for i = 1, deletes do
  local name = KEYS[key + i]:sub(cut)
  deleted = deleted + redis.call('UNLINK', KEYS[key + i])
  redis.call('ZREM', index, name)
  redis.call('ZREM', ends, name)
end
-- More than this commit can add, so that they never pile up.
sweep(math.min(1000, 10 + 2 * (sets + deletes + adds)))
if redis.call('EXISTS', index) == 0 then redis.call('DEL', ends) end
local reply = { '', deleted }
for i = 1, adds do reply[2 + i] = sums[i] end
return reply
`

export const COMMIT_SCRIPT = redisScript(COMMIT)
/** For a commit that only deletes, which must be possible when memory is full. */
export const DELETE_SCRIPT = redisScript(COMMIT, { flags: READ_FLAGS })

/** Names that one run looks at; some milliseconds. */
const MAX_SEEN = 5_000

const scan = (sweeping: string): string => `
local index, ends = KEYS[1], KEYS[2]
local from, to, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
${NOW}${sweeping}
local found, seen, last = {}, 0, ''
local someEnd = redis.call('EXISTS', ends) == 1
while #found < limit and seen < ${MAX_SEEN} do
  local want = math.min(limit - #found + (seen > 0 and 100 or 0), 1000)
  local names = redis.call('ZRANGE', index, from, to, 'BYLEX', 'LIMIT', 0, want)
  local times = someEnd and #names > 0 and redis.call('ZMSCORE', ends, unpack(names)) or {}
  for i, name in ipairs(names) do
    if #found < limit then
      last = name
      if not times[i] or tonumber(times[i]) >= now then found[#found + 1] = name end
    end
  end
  if #names < want then
    if #found < limit then last = '' end
    break
  end
  seen = seen + #names
  from = '(' .. last
end
if #found == limit then last = '' end
return { last, found }
`

/**
 * KEYS: index, ends. ARGV: from, to, limit. Gives up to `limit` keys, and the last one looked at where fewer were found among those that
 * one script may look at.
 */
export const SCAN_SCRIPT = redisScript(scan(`${SWEEP}sweep(1000)`), {
  flags: READ_FLAGS,
  readOnly: scan(''),
})

const LIVES = `
local index, ends = KEYS[1], KEYS[2]
${NOW}
return redis.call('ZCARD', index) - redis.call('ZCOUNT', ends, '-inf', past)
`

/** KEYS: index, ends. Gives the number of keys. */
export const COUNT_SCRIPT = redisScript(LIVES, { flags: READ_FLAGS, readOnly: LIVES })

/** KEYS: names, times. ARGV: the name of a space in which there will be something. */
export const REGISTER_SCRIPT = redisScript(`${NOW}
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
return 1
`)

/** KEYS: names, times. ARGV: milliseconds; names. Removes the names that nobody announced for so long. */
export const FORGET_SCRIPT = redisScript(
  `${NOW}
for i = 2, #ARGV do
  local time = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if not time or tonumber(time) < now - tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  end
end
return 1
`,
  { flags: READ_FLAGS },
)
