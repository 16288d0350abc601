-- due reads what waits in a partition now: at most limit entries of the agenda, and as many claims past their lease.
-- KEYS: agenda claims
-- ARGV: limit
-- Returns: OK now lag agenda claims
-- OOM: allow
-- Uses: now
local limit = tonumber(ARGV[1])
local s = {now = now(), agenda = KEYS[1], claims = KEYS[2]}
local oldest, lag = redis.call('ZRANGE', s.agenda, 0, 0, 'WITHSCORES'), 0
if oldest[2] then lag = math.max(0, s.now - oldest[2]) end
return {
  'OK', s.now, lag,
  redis.call('ZRANGEBYSCORE', s.agenda, '-inf', s.now, 'LIMIT', 0, limit),
  redis.call('ZRANGEBYSCORE', s.claims, '-inf', s.now, 'LIMIT', 0, limit),
}
