-- Adds or renews a session's entry in its tenant's index, and removes the oldest entries over the limit.
-- KEYS: by creation, by expiry, reserved bytes. ARGV: member, lifetime of the entry in ms, limit, how long the index
-- outlives it in ms, the member that an earlier version may have written for the session, size class.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local previous = class_of_member(KEYS[2], ARGV[1]) or 0
local class = math.max(tonumber(ARGV[6]), previous)
local change = bytes_of(class) - bytes_of(previous)
redis.call('ZADD', KEYS[1], 0, ARGV[1])
set_entry(KEYS[2], ARGV[1], now + ARGV[2], class)
if ARGV[5] ~= ARGV[1] then
  redis.call('ZREM', KEYS[1], ARGV[5])
  redis.call('ZREM', KEYS[2], ARGV[5])
end
local excess = redis.call('ZCARD', KEYS[1]) - ARGV[3]
if excess > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 100) - 1)
  for _, member in ipairs(oldest) do
    change = change - bytes_of(class_of_member(KEYS[2], member) or 0)
  end
  redis.call('ZREM', KEYS[1], unpack(oldest))
  redis.call('ZREM', KEYS[2], unpack(oldest))
end
if change ~= 0 then
  set_reserved(KEYS[3], reserved(KEYS[3]) + change)
end
-- Workers remove and count expired entries. If no worker runs any more, the whole index expires in the end.
local lifetime = ARGV[2] + ARGV[4]
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < lifetime then
    redis.call('PEXPIRE', key, lifetime)
  end
end
return redis.status_reply('OK')
