-- Reserves memory for a session in its tenant's index, before a write that may need more, unless a limit is exceeded.
-- Returns 'reserved', or the name of the exceeded limit, its value and what the tenant has.
-- KEYS: by expiry, reserved bytes. ARGV: member, lifetime of the entry in ms, size class, limits of sessions and of
-- bytes, how many times the free memory one tenant may reserve.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local previous = class_of_member(KEYS[1], ARGV[1])
if not previous then
  local sessions = redis.call('ZCOUNT', KEYS[1], string.format('(%d', now), '+inf')
  if sessions >= tonumber(ARGV[4]) then
    return { 'sessions', tonumber(ARGV[4]), sessions }
  end
end
local class = math.max(tonumber(ARGV[3]), previous or 0)
local before = reserved(KEYS[2])
local after = before - bytes_of(previous or 0) + bytes_of(class)
if after > before then
  local limit = tonumber(ARGV[5])
  if after > limit then
    return { 'state_bytes', limit, before }
  end
  local used, memory = memory_usage()
  if memory > 0 then
    local free = math.max(0, memory - used)
    local factor = tonumber(ARGV[6])
    local share = math.floor(math.min(factor * free, factor / (factor + 1) * memory))
    if after > share then
      return { 'store', share, before }
    end
  end
end
set_entry(KEYS[1], ARGV[1], now + ARGV[2], class)
set_reserved(KEYS[2], after)
return { 'reserved', after, 0 }
