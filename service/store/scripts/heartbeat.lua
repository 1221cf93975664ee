-- Stores a worker's notice unless it is empty, and drops outdated notices.
-- Returns the time, the marks of retiring versions, all notices and the unloaded models.
-- KEYS: notices by worker, marks of retiring versions, unloaded models.
-- ARGV: worker, its notice, lifetime of a notice in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', now) .. ARGV[2])
end
local notices = redis.call('HGETALL', KEYS[1])
for i = 1, #notices, 2 do
  local noted_at = tonumber(string.match(notices[i + 1], '^%d+'))
  if not noted_at or noted_at + ARGV[3] < now then
    redis.call('HDEL', KEYS[1], notices[i])
  end
end
return { now, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[3]) }
