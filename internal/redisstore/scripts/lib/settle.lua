-- settle tells a step's outcome to its children, and queues those that became ready.
local function settle(s, children, outcome)
  for _, child in ipairs(children) do
    local n = child.name
    redis.call('HINCRBY', s.steps, n .. ':' .. outcome, 1)
    local v = redis.call('HMGET', s.steps, n .. ':state', n .. ':ok', n .. ':skip', n .. ':fail')
    local settled, failed = (v[2] or 0) + (v[3] or 0), (v[4] or 0) + 0
    if not v[1] and failed == 0 and settled == child.parents and s.state ~= 'cancelling' and s.state ~= 'cancelled' then
      s.active = s.active + 1
      queue(s, {name = n, epoch = 0, handler = child.handler, queue = child.queue}, 0)
    end
  end
end
