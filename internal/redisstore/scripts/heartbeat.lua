-- heartbeat renews a claim, however late. From a nonce that was declared dead it takes that crash back, once.
-- KEYS: run steps log claims
-- ARGV: id step nonce ttl leaving
-- Returns: OK run_state | LOST run_state
-- OOM: allow
-- Uses: now log run step
local id, step, nonce, ttl, leaving = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local s = {id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], claims = KEYS[4]}
read_run(s)
if s.state == '' then return {'LOST', ''} end
local t = read_step(s, step)
if t.state == 'running' and t.claim == nonce then
  write_step(s, t, {lease = s.now + ttl})
  if leaving == '1' then write_step(s, t, {leaving = '1'}) end
  redis.call('ZADD', s.claims, t.lease, id .. ':' .. step)
  return {'OK', s.state}
end
local settled = {succeeded = true, failed = true, skipped = true, cancelled = true}
if not settled[t.state] then
  local rest, found = {}, false
  for dead in string.gmatch(t.dead, '[^,]+') do
    if dead == nonce then found = true else rest[#rest + 1] = dead end
  end
  if found then
    write_step(s, t, {dead = table.concat(rest, ','), crashes = math.max(0, t.crashes - 1)})
    log(s, 'crash_taken_back', t)
  end
end
return {'LOST', s.state}
