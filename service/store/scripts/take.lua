-- Takes tokens from a bucket that fills at a constant rate, by the generic cell rate algorithm: the key holds the
-- theoretical arrival time of the next request if requests arrived at exactly that rate. ITU-T Recommendation I.371,
-- annex A; https://brandur.org/rate-limiting explains it for stores of this kind.
-- Returns the tokens taken, the seconds until as many as are needed are there, and the tokens left, as text.
-- KEYS: bucket. ARGV: tokens per second, size of the bucket, needed tokens, wanted tokens.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local rate, size, needed, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local arrival = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local present = size - (arrival - now) * rate
-- A request that needs more than the bucket holds waits until it is full, and then empties it beyond its bottom.
local missing = math.min(needed, size) - present
-- The store's clock has microseconds.
if missing > rate / 1000000 then
  return { '0', string.format('%.6f', missing / rate), string.format('%.6f', math.max(0, present)) }
end
local taken = math.max(needed, math.min(wanted, present))
arrival = arrival + taken / rate
redis.call('SET', KEYS[1], string.format('%.6f', arrival), 'PX', math.ceil((arrival - now) * 1000) + 1000)
return { string.format('%.6f', taken), '0', string.format('%.6f', math.max(0, present - taken)) }
