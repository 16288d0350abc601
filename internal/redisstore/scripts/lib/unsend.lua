-- unsend forgets the step's present delivery.
local function unsend(s, t)
  redis.call('ZREM', s.agenda, 'send:' .. s.id .. ':' .. t.name .. ':' .. t.epoch)
  redis.call('ZREM', s.doubts, s.id .. ':' .. t.name)
end
