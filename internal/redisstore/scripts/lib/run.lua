-- read_run reads into s what transitions need of the run; state '' means that there is none.
local function read_run(s)
  local v = redis.call('HMGET', s.run, 'state', 'def', 'trace_parent')
  s.state, s.digest, s.trace, s.sends = v[1] or '', v[2] or '', v[3] or '', {}
end

-- move_run changes the run's state and its place in the indexes, whose keys are s.idx_<state>.
local function move_run(s, to)
  redis.call('ZREM', s['idx_' .. s.state], s.id)
  redis.call('ZADD', s['idx_' .. to], redis.call('HGET', s.run, 'created_at'), s.id)
  redis.call('HSET', s.run, 'state', to)
  s.state = to
end
