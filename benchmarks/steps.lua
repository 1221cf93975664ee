-- Script of wrk: sends one step of a session per request. Arguments: the file of sessions, and the number of threads.
--
-- Each line of the file is a session: its path, a tab, and its body with two placeholders, for the id of the word and the
-- number of the step. Thread k of n uses the lines k, k + n, k + 2n, ... in turn. With as many threads as lines and one
-- connection each, a session stays on its connection. With one thread and many connections, its next step is sent over
-- any free connection.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local sessions, turn = {}, 0
-- Before it starts, wrk calls request() of thread 0 once and does not send the result.
local first_call_done = false

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
  if first_call_done or number > 0 then
    turn = turn + 1
    session.step = session.step + 1
  end
  first_call_done = true
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
