-- Stores a first record and returns nil, or returns the value that the key already has.
-- KEYS: session. ARGV: record, TTL in ms.
local stored = redis.call('GET', KEYS[1])
if stored == ARGV[1] then
  -- The same command sent again, see write.lua.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return false
end
if stored then
  return stored
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
