-- settle tells a step's outcome to its children, and queues those that became ready.
local function settle(s, children, outcome)
  for _, child in ipairs(children) do
    local n = child.name
    local count = redis.call('HINCRBY', s.steps, n .. ':' .. outcome, 1)
    local ready, v = false, nil
    if outcome == 'ok' and count == child.parents then
      ready, v = true, {redis.call('HGET', s.steps, n .. ':state')}
    elseif outcome ~= 'fail' then
      v = redis.call('HMGET', s.steps, n .. ':state', n .. ':ok', n .. ':skip', n .. ':fail')
      ready = (v[4] or 0) + 0 == 0 and (v[2] or 0) + (v[3] or 0) == child.parents
    end
    if ready and not v[1] and s.state ~= 'cancelling' and s.state ~= 'cancelled' then
      s.active = s.active + 1
      queue(s, {name = n, epoch = 0, handler = child.handler, queue = child.queue}, 0)
    end
  end
end
