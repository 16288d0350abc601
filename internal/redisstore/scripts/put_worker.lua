-- put_worker notes a worker's heartbeat or sign-off, and forgets workers that were not heard of for an hour.
-- KEYS: workers
-- ARGV: id worker left
-- Returns: OK
-- OOM: allow
-- Uses: now
local id, worker, left = ARGV[1], ARGV[2], ARGV[3]
local s = {now = now(), workers = KEYS[1]}
local times = '{"seen_at":' .. string.format('%.0f', s.now)
if left == '1' then times = times .. ',"left_at":' .. string.format('%.0f', s.now) end
redis.call('HSET', s.workers, id, times .. ',' .. string.sub(worker, 2))
local all = redis.call('HGETALL', s.workers)
for i = 1, #all, 2 do
  local seen = tonumber(string.match(all[i + 1], '^{"seen_at":(%d+)') or 0)
  if seen < s.now - 3600000 then redis.call('HDEL', s.workers, all[i]) end
end
return {'OK'}
