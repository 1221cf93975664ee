-- Writes to a session that still has the expected record, so that WAIT and WAITAOF cover the record as well.
-- KEYS: session. ARGV: expected header.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
  return 'conflict'
end
redis.call('PEXPIRE', KEYS[1], math.max(1, redis.call('PTTL', KEYS[1])))
return 'confirmed'
