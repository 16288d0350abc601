-- go_on lets the deadline of a paused run go on from where it stood.
local function go_on(s)
  local deadline = s.now + (s.remaining or math.max(1, (s.deadline or 0) - s.now))
  redis.call('HDEL', s.run, 'remaining')
  redis.call('HSET', s.run, 'deadline', deadline)
  redis.call('ZADD', s.agenda, deadline, 'end:' .. s.id)
end
