-- Removes expired entries of a tenant's index, one batch at most; returns the numbers of removed, live and all entries.
-- KEYS: by creation, by expiry, reserved bytes. ARGV: batch size.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local scores = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local expired, freed = {}, 0
for i = 1, #scores, 2 do
  expired[#expired + 1] = scores[i]
  freed = freed + bytes_of(class_of(tonumber(scores[i + 1])))
end
if #expired > 0 then
  redis.call('ZREM', KEYS[1], unpack(expired))
  redis.call('ZREM', KEYS[2], unpack(expired))
end
local all = redis.call('ZCARD', KEYS[2])
if all == 0 then
  redis.call('DEL', KEYS[3])
elseif freed > 0 then
  set_reserved(KEYS[3], reserved(KEYS[3]) - freed)
end
return { #expired, redis.call('ZCOUNT', KEYS[2], string.format('(%d', now), '+inf'), all }
