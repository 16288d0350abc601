-- due reads what waits in a partition now: at most limit entries of the agenda, as many claims past their lease, and doubts to look at.
-- KEYS: agenda claims doubts
-- ARGV: limit max_doubts
-- Returns: OK now lag agenda claims doubts
-- OOM: allow
-- Uses: now
local limit, max_doubts = tonumber(ARGV[1]), tonumber(ARGV[2])
local s = {now = now(), agenda = KEYS[1], claims = KEYS[2], doubts = KEYS[3]}
local oldest, lag, entries = redis.call('ZRANGE', s.agenda, 0, 0, 'WITHSCORES'), 0, {}
if oldest[1] and oldest[2] + 0 <= s.now then
  entries = redis.call('ZRANGEBYSCORE', s.agenda, '-inf', s.now, 'LIMIT', 0, limit)
  -- Retention does not count as lag. Behind more purges than these it is not looked for: they are done first.
  if string.sub(oldest[1], 1, 6) == 'purge:' then oldest = redis.call('ZRANGEBYSCORE', s.agenda, '-inf', s.now, 'WITHSCORES', 'LIMIT', 0, 1000) end
  for i = 1, #oldest, 2 do
    if string.sub(oldest[i], 1, 6) ~= 'purge:' then
      lag = s.now - oldest[i + 1]
      break
    end
  end
end
return {
  'OK', s.now, lag, entries,
  redis.call('ZRANGEBYSCORE', s.claims, '-inf', s.now, 'LIMIT', 0, limit),
  redis.call('ZRANGEBYSCORE', s.doubts, '-inf', s.now, 'LIMIT', 0, max_doubts),
}
