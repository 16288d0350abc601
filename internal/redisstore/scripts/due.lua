-- due reads what waits in a partition now: at most limit entries of the agenda, as many claims past their lease, and doubts to look at.
-- KEYS: agenda claims doubts
-- ARGV: limit max_doubts
-- Returns: OK now lag agenda claims doubts
-- OOM: allow
-- Uses: now
local limit, max_doubts = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = {now = now(), agenda = KEYS[1], claims = KEYS[2], doubts = KEYS[3]}
local oldest, entries, lag = redis.call('ZRANGE', s.agenda, 0, 0, 'WITHSCORES'), {}, 0
if oldest[2] and oldest[2] + 0 <= s.now then entries = redis.call('ZRANGEBYSCORE', s.agenda, '-inf', s.now, 'LIMIT', 0, limit) end
for _, entry in ipairs(entries) do
  if string.sub(entry, 1, 6) ~= 'purge:' then -- retention may lag
    lag = s.now - redis.call('ZSCORE', s.agenda, entry)
    break
  end
end
return {
  'OK', s.now, lag, entries,
  redis.call('ZRANGEBYSCORE', s.claims, '-inf', s.now, 'LIMIT', 0, limit),
  redis.call('ZRANGEBYSCORE', s.doubts, '-inf', s.now, 'LIMIT', 0, max_doubts),
}
