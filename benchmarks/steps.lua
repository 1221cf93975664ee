-- What wrk sends: one step of a session per request. Arguments: the file of sessions, and how many threads there are.
--
-- A line of the file is a session: its path, a tab, and its body with two places, for the word's id and the step's
-- number. Thread k of n walks round lines k, k + n, k + 2n, ...: with as many threads as lines and one connection each,
-- a session stays on its connection; with one thread and many connections, its next step goes out over whichever
-- connection is free when its turn comes.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local sessions, turn = {}, 0
-- Before it starts, wrk asks thread 0 for a request that it never sends.
local rehearsed = false

function init(arguments)
  local count, line = tonumber(arguments[2]), 0
  for text in io.lines(arguments[1]) do
    if line % count == number then
      local path, body = text:match("^(.-)\t(.*)$")
      sessions[#sessions + 1] = {path = path, body = body, step = 0, line = line}
    end
    line = line + 1
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local session = sessions[turn % #sessions + 1]
  local word = 1 + (7919 * session.step + 31 * session.line) % 9999
  local body = session.body:format(word, session.step)
  if rehearsed or number > 0 then
    turn = turn + 1
    session.step = session.step + 1
  end
  rehearsed = true
  return wrk.format(nil, session.path, nil, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "status": %d, "connect": %d, "read": %d, ' ..
    '"write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
