-- Writes something behind a record that is still the one in question, for WAIT and WAITAOF to cover both.
-- KEYS: session. ARGV: its header.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
  return 'conflict'
end
redis.call('PEXPIRE', KEYS[1], math.max(1, redis.call('PTTL', KEYS[1])))
return 'confirmed'
