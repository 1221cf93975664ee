-- Sizes of sessions in a tenant's index by expiry, which other scripts begin with. A score of the index is a time in ms;
-- its fraction is the size class of the session, divided by 2048. A session of class c reserves 2^(c / 64) bytes.
local function bytes_of(class)
  return class > 0 and math.ceil(2 ^ (class / 64)) or 0
end

local function class_of(score)
  return (score - math.floor(score)) * 2048
end

-- Returns the size class of a member, or nil if it is not there. Servers before 6.2 have no other command that replies
-- with a score and that users of the store were always allowed.
local function class_of_member(key, member)
  local score = redis.call('ZADD', key, 'XX', 'INCR', 0, member)
  return score and class_of(tonumber(score)) or nil
end

local function set_entry(key, member, expires_at, class)
  redis.call('ZADD', key, string.format('%.17g', expires_at + class / 2048), member)
end

-- The sum of the bytes that the members of an index reserve. It is not negative after a mixture of versions wrote it.
local function reserved(key)
  return tonumber(redis.call('GET', key) or 0)
end

local function set_reserved(key, bytes)
  redis.call('SET', key, string.format('%d', math.max(0, bytes)), 'KEEPTTL')
end
