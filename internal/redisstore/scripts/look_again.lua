-- look_again sets when steps in doubt are looked at next, where the doubt is still about that delivery. The first look that found the task
-- active is remembered in seen, any other forgets it.
-- KEYS: doubts steps...
-- ARGV: looks... (id, step, epoch, after and active of each, in the order of the steps keys)
-- Returns: OK
-- OOM: allow
-- Uses: now
local s = {now = now(), doubts = KEYS[1]}
for i = 2, #KEYS do
  local at = (i - 2) * 5
  local id, step, epoch, after, active = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local member, f = id .. ':' .. step, step .. ':'
  local v = redis.call('HMGET', KEYS[i], f .. 'state', f .. 'epoch')
  if (v[1] == 'queued' or v[1] == 'retrying') and v[2] == epoch then
    if redis.call('ZSCORE', s.doubts, member) then
      redis.call('ZADD', s.doubts, s.now + after, member)
      if active == '1' then redis.call('HSETNX', KEYS[i], f .. 'seen', s.now) else redis.call('HDEL', KEYS[i], f .. 'seen') end
    end
  elseif v[2] == epoch or not v[2] then
    redis.call('ZREM', s.doubts, member)
  end
end
return {'OK'}
