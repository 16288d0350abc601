-- share gives a sweeper its share of the groups of partitions: what it has, up to that, then what is free; the rest it gives back.
-- KEYS: sweepers sweep
-- ARGV: id ttl left groups
-- Returns: OK groups
-- OOM: allow
-- Uses: now
local id, ttl, left, groups = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local s = {now = now(), sweepers = KEYS[1], sweep = KEYS[2]}
if left == '1' then redis.call('ZREM', s.sweepers, id) else redis.call('ZADD', s.sweepers, s.now + ttl, id) end
redis.call('ZREMRANGEBYSCORE', s.sweepers, '-inf', s.now)
local share = redis.call('ZSCORE', s.sweepers, id) and math.ceil(groups / redis.call('ZCARD', s.sweepers)) or 0
local mine, free = {}, {}
for g = 0, groups - 1 do
  local owner = redis.call('HGET', s.sweep, g)
  if owner == id and #mine < share then
    mine[#mine + 1] = g
  elseif owner == id then
    redis.call('HDEL', s.sweep, g)
  elseif not owner or not redis.call('ZSCORE', s.sweepers, owner) then
    free[#free + 1] = g
  end
end
for _, g in ipairs(free) do
  if #mine < share then
    redis.call('HSET', s.sweep, g, id)
    mine[#mine + 1] = g
  end
end
table.sort(mine)
return {'OK', mine}
