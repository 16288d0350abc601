-- retry queues a failed or retrying step again, or every failed step of a run, and opens a failed run anew.
-- KEYS: run steps log def agenda doubts dlq idx_running idx_failed
-- ARGV: id step nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def unsend queue operator open_run failed
-- Longer than most: nothing may be written before every step that it names has been looked at.
local id, step, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  dlq = KEYS[7], idx_running = KEYS[8], idx_failed = KEYS[9], stale = {},
}
local no = asked(s, nonce)
if no then return no end
local state = state_of(s, step)
if s.state ~= 'running' and s.state ~= 'failed' and s.state ~= 'paused' then return operated(s, 'CONFLICT', state) end
if step ~= '' and state ~= 'failed' and state ~= 'retrying' then return operated(s, 'CONFLICT', state) end
local targets = {}
for _, name in ipairs(step ~= '' and {step} or steps_of(s)) do
  if step ~= '' or redis.call('HGET', s.steps, name .. ':state') == 'failed' then
    local t, frozen = read_step(s, name), step_def(s, name)
    t.handler, t.queue, t.children = frozen.handler, frozen.queue, children_of(s, name)
    if children_begun(s, t) then return operated(s, 'CONFLICT', state) end
    targets[#targets + 1] = t
  end
end
if #targets == 0 then return operated(s, 'CONFLICT') end

if s.state == 'failed' then open_run(s) end
for _, t in ipairs(targets) do
  s.stale[#s.stale + 1] = {t.name, t.epoch}
  if t.state == 'failed' then
    take_back(s, t)
    if t.error ~= '' and cjson.decode(t.error).refused then write_step(s, t, {gen = t.gen + 1}) end
  end
  write_step(s, t, {failures = 0, crashes = 0, dead = '', error = '', done = '', finished_at = 0})
  queue(s, t, 0)
  log(s, 'retried', t, '', reason, actor)
end
write_run(s)
remember(s, nonce)
return operated(s, 'OK')
