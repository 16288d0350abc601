-- resume lets a paused run go on: its deadline from where it stood, its steps with a new epoch.
-- KEYS: run steps log def agenda doubts idx_running idx_paused idx_succeeded idx_failed
-- ARGV: id nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend queue end_run end_test operator go_on
local id, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  idx_running = KEYS[7], idx_paused = KEYS[8], idx_succeeded = KEYS[9], idx_failed = KEYS[10],
}
local no = asked(s, nonce)
if no then return no end
if s.state ~= 'paused' then return operated(s, 'CONFLICT') end
local targets = {}
for _, name in ipairs(steps_of(s)) do
  local t, frozen = read_step(s, name), step_def(s, name)
  t.handler, t.queue = frozen.handler, frozen.queue
  if t.state == 'queued' or t.state == 'retrying' then targets[#targets + 1] = t end
end

move_run(s, 'running')
go_on(s)
log_verb(s, 'resumed', reason, actor)
for _, t in ipairs(targets) do
  queue(s, t, t.due)
  log(s, 'reissued', t)
end
end_test(s)
remember(s, nonce)
return operated(s, 'OK')
