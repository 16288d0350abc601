-- fail_step fails a step for good: a dead letter, its children told, the run perhaps ended.
local function fail_step(s, t, children, failure, code, message)
  write_step(s, t, {state = 'failed', error = failure, claim = '', lease = 0, leaving = '', due = 0, seen = 0, finished_at = s.now})
  s.active = s.active - 1
  redis.call('ZADD', s.dlq, s.now, s.id .. ':' .. t.name)
  log(s, 'failed', t, code, message)
  settle(s, children, 'fail')
  end_test(s)
end
