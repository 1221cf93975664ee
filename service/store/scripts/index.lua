-- Adds or renews a session's entry in its tenant's index, and removes the oldest entries over the limit.
-- KEYS: by creation, by expiry. ARGV: member, lifetime of the entry in ms, limit, how long the index outlives it in ms,
-- the member that an earlier version may have written for the session.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
if ARGV[5] ~= ARGV[1] then
  redis.call('ZREM', KEYS[1], ARGV[5])
  redis.call('ZREM', KEYS[2], ARGV[5])
end
local excess = redis.call('ZCARD', KEYS[1]) - ARGV[3]
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 100) - 1)
  redis.call('ZREM', KEYS[1], unpack(oldest))
  redis.call('ZREM', KEYS[2], unpack(oldest))
end
-- Workers remove and count expired entries. If no worker runs any more, the whole index expires in the end.
local lifetime = ARGV[2] + ARGV[4]
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < lifetime then
    redis.call('PEXPIRE', key, lifetime)
  end
end
return redis.status_reply('OK')
