-- Replaces a record by a tombstone.
-- KEYS: session. ARGV: tombstone, TTL in ms, magic of a tombstone, TTL in ms while the server is nearly full.
local magic = redis.call('GETRANGE', KEYS[1], 0, #ARGV[3] - 1)
if magic == '' then
  return 'missing'
end
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1]) == ARGV[1] then
  -- The same command sent again, see write.lua.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'written'
end
if magic == ARGV[3] then
  return 'ended'
end
-- Tombstones are not counted as memory of their tenant. They must not fill the store.
local info = redis.pcall('INFO', 'memory')
local memory = type(info) == 'string' and tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
local lifetime = ARGV[2]
if memory > 0 and tonumber(string.match(info, 'used_memory:(%d+)')) > 0.8 * memory then
  lifetime = ARGV[4]
end
-- A full server rejects SET as the first write of a script, but never DEL. Clients end sessions to free memory.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', lifetime)
return 'written'
