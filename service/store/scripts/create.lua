-- Stores a first record; where the key holds anything else, returns that instead.
-- KEYS: session. ARGV: record, ttl in ms.
local stored = redis.call('GET', KEYS[1])
if stored == ARGV[1] then
  -- The same creation sent again, see write.lua.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return false
end
if stored then
  return stored
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
