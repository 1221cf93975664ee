-- Replaces a session's record if it is still the one that the writer started from.
-- KEYS: session. ARGV: that record, of a large one the header alone; new record, ttl in ms, magic of a tombstone, size of
-- a header.
local size = tonumber(ARGV[5])
local stored
if #ARGV[1] > size then
  stored = redis.call('GET', KEYS[1]) or ''
else
  stored = redis.call('GETRANGE', KEYS[1], 0, size - 1)
end
if stored == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 'written'
end
-- The same write sent again because its first reply was lost: it took effect then. WAIT and WAITAOF cover what this
-- connection wrote, so it writes something: what they say then holds for all that was written before.
if string.sub(stored, 1, size) == string.sub(ARGV[2], 1, size) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 'written'
end
if stored == '' then
  return 'missing'
end
if string.sub(stored, 1, #ARGV[4]) == ARGV[4] then
  return 'ended'
end
return 'conflict'
