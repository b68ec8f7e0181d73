// What happens to one key of Redis in one step. A value is kept as `v<version>:<bytes>`, with a `p` where it
// ends by itself, a token as itself: hexadecimal digits. Others can write to Redis too: what is neither
// counts as nothing, of whatever type it is.

import { defineScript } from 'redis'

const reply = (value: unknown) => value as Buffer | string | number | readonly unknown[] | null

/** `versionOf`: of a value; nil or false of anything else. Fifteen digits are exact as a number. */
const VERSION_OF = `local function versionOf(held)
  local digits = type(held) == 'string' and held:match('^[vp](%d+):')
  return digits and #digits <= 15 and tonumber(digits)
end
`

/**
 * Gives the value with the milliseconds that it has left, or the token to fill its place with: the one that
 * lies there, or else the one given.
 */
const look = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${VERSION_OF}local held = redis.pcall('GET', KEYS[1])
local version = versionOf(held)
if version and version >= tonumber(ARGV[3]) then
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then return {held, left} end
end
if type(held) == 'string' and held:match('^%x+$') then return {held, 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], 0}`,
  parseCommand: (parser, key: string, token: string, tokenMs: number, floor: number) => {
    parser.pushKey(key)
    parser.push(token, String(tokenMs), String(floor))
  },
  transformReply: reply,
})

const fill = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`,
  parseCommand: (parser, key: string, token: string, value: Buffer, keepMs: number) => {
    parser.pushKey(key)
    parser.push(token, value, String(keepMs))
  },
  transformReply: reply,
})

/** With a channel and a message, these are published in the same step. */
const drop = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${VERSION_OF}local held = redis.pcall('GET', KEYS[1])
local version = versionOf(held)
if held and not (version and version >= tonumber(ARGV[1])) then redis.call('DEL', KEYS[1]) end
if ARGV[2] then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1`,
  parseCommand: (parser, key: string, version: number, ...message: readonly string[]) => {
    parser.pushKey(key)
    parser.push(String(version), ...message)
  },
  transformReply: reply,
})

/** From an empty text where there must be no place yet; what is no place is none. */
const advance = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `local function parse(place)
  local epoch, id
  if type(place) == 'string' then epoch, id = place:match('^([0-9a-f]+)-(%d+)$') end
  if id and #id <= 15 then return epoch, tonumber(id) end
end
local heldEpoch, heldId = parse(redis.pcall('GET', KEYS[1]))
local fromEpoch, fromId = parse(ARGV[1])
local epoch, id = parse(ARGV[2])
if heldEpoch ~= fromEpoch or (fromId and heldId < fromId) then return 0 end
if heldEpoch == epoch and heldId >= id then return 1 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`,
  parseCommand: (parser, key: string, from: string, to: string) => {
    parser.pushKey(key)
    parser.push(from, to)
  },
  transformReply: reply,
})

export const scripts = { look, fill, drop, advance }
