-- cancel ends an open run: what is not running is cancelled at once, and the run when nothing runs any more.
-- KEYS: run steps log def agenda doubts dlq idx_scheduled idx_running idx_paused idx_cancelling idx_cancelled
-- ARGV: id nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend end_run end_test operator go_on
local id, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6], dlq = KEYS[7],
  idx_scheduled = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_cancelling = KEYS[11], idx_cancelled = KEYS[12], stale = {},
}
local no = asked(s, nonce)
if no then return no end
if s.state ~= 'scheduled' and s.state ~= 'running' and s.state ~= 'paused' then return operated(s, 'CONFLICT') end
local names = steps_of(s)

if s.state == 'paused' then go_on(s) end
log_verb(s, 'cancel_requested', reason, actor)
for _, name in ipairs(names) do
  local t = read_step(s, name)
  local waits = t.state == 'queued' or t.state == 'retrying'
  if t.state == 'failed' then redis.call('ZREM', s.dlq, id .. ':' .. name) end -- nobody can retry it any more
  if waits then s.stale[#s.stale + 1] = {name, t.epoch} end
  if waits or t.state == 'waiting' or t.state == '' then
    local pending = t.state == ''
    write_step(s, t, {state = 'cancelled', claim = '', lease = 0, due = 0, seen = 0, finished_at = s.now})
    if not pending then
      unsend(s, t)
      s.active = s.active - 1
      log(s, 'cancelled', t)
    end
  end
end
move_run(s, 'cancelling')
end_test(s)
remember(s, nonce)
return operated(s, 'OK')
