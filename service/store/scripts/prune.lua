-- Removes expired entries of a tenant's index, one batch at most; returns the numbers of removed, live and all entries.
-- KEYS: by creation, by expiry. ARGV: batch size.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
  redis.call('ZREM', KEYS[2], unpack(expired))
end
return { #expired, redis.call('ZCOUNT', KEYS[2], string.format('(%d', now), '+inf'), redis.call('ZCARD', KEYS[2]) }
