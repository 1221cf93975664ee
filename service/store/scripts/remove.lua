-- Removes entries of a tenant's index; returns how many were in the listing.
-- KEYS: by creation, by expiry, reserved bytes. ARGV: members.
-- A full server rejects writes but removals, until a script has written.
local removed = redis.call('ZREM', KEYS[1], unpack(ARGV))
local freed = 0
for _, member in ipairs(ARGV) do
  freed = freed + bytes_of(class_of_member(KEYS[2], member) or 0)
end
redis.call('ZREM', KEYS[2], unpack(ARGV))
if freed > 0 then
  set_reserved(KEYS[3], reserved(KEYS[3]) - freed)
end
return removed
