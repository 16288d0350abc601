-- read_run reads into s what transitions need of the run; state '' means that there is none. Fields that s.more names are in s.fields from 9 on.
local function read_run(s)
  local v = redis.call('HMGET', s.run, 'state', 'def', 'trace_parent', 'active', 'completed', 'total', 'bytes', 'created_at', unpack(s.more or {}))
  s.state, s.digest, s.trace, s.sends = v[1] or '', v[2] or '', v[3] or '', {}
  s.active, s.completed, s.total, s.bytes, s.created_at = (v[4] or 0) + 0, (v[5] or 0) + 0, (v[6] or 0) + 0, (v[7] or 0) + 0, v[8]
  s.fields = v
end

-- write_run writes the numbers that a transition has changed in s.
local function write_run(s)
  redis.call('HSET', s.run, 'active', s.active, 'completed', s.completed, 'bytes', s.bytes)
end

-- move_run changes the run's state and its place in the indexes, whose keys are s.idx_<state>.
local function move_run(s, to)
  redis.call('ZREM', s['idx_' .. s.state], s.id)
  redis.call('ZADD', s['idx_' .. to], s.created_at, s.id)
  redis.call('HSET', s.run, 'state', to)
  s.state = to
end
