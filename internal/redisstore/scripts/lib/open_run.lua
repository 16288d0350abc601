-- open_run opens a failed run again: with a new deadline, and kept.
local function open_run(s)
  local deadline = s.now + s.timeout
  redis.call('HDEL', s.run, 'finished_at')
  redis.call('HSET', s.run, 'deadline', deadline)
  redis.call('ZADD', s.agenda, deadline, 'end:' .. s.id)
  redis.call('ZREM', s.agenda, 'purge:' .. s.id)
  move_run(s, 'running')
end
