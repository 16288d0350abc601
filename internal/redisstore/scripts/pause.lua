-- pause keeps a running run from beginning steps, and stops its deadline. What runs goes on.
-- KEYS: run steps log def agenda doubts idx_running idx_paused
-- ARGV: id nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend operator
local id, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  idx_running = KEYS[7], idx_paused = KEYS[8],
}
local no = asked(s, nonce)
if no then return no end
if s.state ~= 'running' then return operated(s, 'CONFLICT') end
local names = steps_of(s)

redis.call('HSET', s.run, 'remaining', math.max(1, (s.deadline or 0) - s.now))
redis.call('HDEL', s.run, 'deadline')
redis.call('ZREM', s.agenda, 'end:' .. id)
for _, name in ipairs(names) do
  local t = read_step(s, name)
  if t.state == 'queued' or t.state == 'retrying' then
    unsend(s, t)
    write_step(s, t, {seen = 0})
  end
end
move_run(s, 'paused')
log_verb(s, 'paused', reason, actor)
remember(s, nonce)
return operated(s, 'OK')
