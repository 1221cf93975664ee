-- Replaces a record by a tombstone.
-- KEYS: session. ARGV: tombstone, TTL in ms, magic of a tombstone, TTL in ms while the server is nearly full.
local magic = redis.call('GETRANGE', KEYS[1], 0, #ARGV[3] - 1)
if magic == '' then
  return 'missing'
end
-- Tombstones are not counted as memory of their tenant. They must not fill the store. One tenant alone fills about four
-- fifths of it.
local used, limit = memory_usage()
local lifetime = (limit > 0 and used > 0.75 * limit) and ARGV[4] or ARGV[2]
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1]) == ARGV[1] then
  -- The same command sent again, see write.lua.
  redis.call('PEXPIRE', KEYS[1], lifetime)
  return 'written'
end
if magic == ARGV[3] then
  return 'ended'
end
-- A full server rejects SET as the first write of a script, but never DEL. Clients end sessions to free memory.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', lifetime)
return 'written'
