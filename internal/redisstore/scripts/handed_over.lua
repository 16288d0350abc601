-- handed_over drops the send entries of deliveries that the queue has accepted, and notes when to look after those that still wait.
-- KEYS: agenda doubts steps...
-- ARGV: deliveries... (id, step and epoch of each, in the order of the steps keys)
-- Returns: OK
-- OOM: allow
-- Uses: now
local s = {now = now(), agenda = KEYS[1], doubts = KEYS[2]}
for i = 3, #KEYS do
  local at = (i - 3) * 3
  local id, step, epoch = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if redis.call('ZREM', s.agenda, 'send:' .. id .. ':' .. step .. ':' .. epoch) == 1 then
    local v = redis.call('HMGET', KEYS[i], step .. ':state', step .. ':epoch')
    if v[1] == 'queued' and v[2] == epoch then redis.call('ZADD', s.doubts, s.now + 30000, id .. ':' .. step) end
  end
end
return {'OK'}
