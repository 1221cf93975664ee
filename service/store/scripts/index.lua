-- Enters a session in its tenant's index, and drops the oldest entries beyond the limit.
-- KEYS: by creation, by expiry. ARGV: member, how long the entry holds in ms, limit, how long the index outlives it in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
local excess = redis.call('ZCARD', KEYS[1]) - ARGV[3]
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 100) - 1)
  redis.call('ZREM', KEYS[1], unpack(oldest))
  redis.call('ZREM', KEYS[2], unpack(oldest))
end
-- Entries are dropped one by one and counted; where nobody does that any more, all of them go in the end.
local most = ARGV[2] + ARGV[4]
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < most then
    redis.call('PEXPIRE', key, most)
  end
end
return redis.status_reply('OK')
