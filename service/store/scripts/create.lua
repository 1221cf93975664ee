-- Stores a first record; where the key holds anything, returns that instead.
-- KEYS: session. ARGV: record, ttl in ms.
local stored = redis.call('GET', KEYS[1])
if stored then
  return stored
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
