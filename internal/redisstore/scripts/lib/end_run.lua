-- end_run ends the run: its deadline is over, its retention begins.
local function end_run(s, to)
  local v = redis.call('HMGET', s.run, to == 'failed' and 'keep_failed' or 'keep', 'remaining')
  if v[1] then redis.call('ZADD', s.agenda, s.now + v[1], 'purge:' .. s.id) end
  if v[2] then redis.call('HDEL', s.run, 'remaining') end
  redis.call('HSET', s.run, 'finished_at', s.now)
  redis.call('ZREM', s.agenda, 'end:' .. s.id)
  move_run(s, to)
end
