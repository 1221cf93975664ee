-- Enters a session in its tenant's index, and drops the oldest entries beyond the limit.
-- KEYS: by creation, by expiry. ARGV: id, creation time in ms, how long the entry holds in ms, limit.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
local excess = redis.call('ZCARD', KEYS[1]) - ARGV[4]
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 100) - 1)
  redis.call('ZREM', KEYS[1], unpack(oldest))
  redis.call('ZREM', KEYS[2], unpack(oldest))
end
return redis.status_reply('OK')
