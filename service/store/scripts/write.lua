-- Replaces a session's record if it is still the expected one. An empty one stands for no record, or for a tombstone.
-- KEYS: session. ARGV: expected record, or only the header of a large one; new record, TTL in ms, magic of a tombstone,
-- size of a header.
local size = tonumber(ARGV[5])
local stored
if #ARGV[1] > size then
  stored = redis.call('GET', KEYS[1]) or ''
else
  stored = redis.call('GETRANGE', KEYS[1], 0, size - 1)
end
if stored == ARGV[1] or (ARGV[1] == '' and string.sub(stored, 1, #ARGV[4]) == ARGV[4]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 'written'
end
-- The same command sent again because its first reply was lost: the write already took effect. WAIT and WAITAOF cover
-- the writes of this connection, so it must write something; they then cover all earlier writes too.
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
