-- Use of the server's memory, which other scripts begin with.

-- Returns the used bytes and the limit `maxmemory`; both are 0 if there is no limit or if the user of the store lacks the
-- right to INFO. Buffers of replicas and of the append-only file do not count against the limit.
local function memory_usage()
  local info = redis.pcall('INFO', 'memory')
  local limit = type(info) == 'string' and tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
  if limit == 0 then
    return 0, 0
  end
  local buffers = tonumber(string.match(info, 'mem_not_counted_for_evict:(%d+)') or 0)
  return tonumber(string.match(info, 'used_memory:(%d+)')) - buffers, limit
end
