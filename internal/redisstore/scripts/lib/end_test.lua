-- end_test ends the run when no step of it is active any more.
local function end_test(s)
  local v = redis.call('HMGET', s.run, 'active', 'completed', 'total')
  if tonumber(v[1]) > 0 then return end
  local to = 'failed'
  if v[2] == v[3] then to = 'succeeded' elseif s.state == 'cancelling' then to = 'cancelled' end
  redis.call('HSET', s.run, 'finished_at', s.now)
  redis.call('ZREM', s.agenda, 'end:' .. s.id)
  move_run(s, to)
  log(s, 'run_' .. to)
end
