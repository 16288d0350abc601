-- bury fails a queued or retrying step whose task an operator has archived, if it still is as it was seen.
-- KEYS: run steps log def agenda doubts dlq idx_scheduled idx_running idx_paused idx_cancelling idx_succeeded idx_failed idx_cancelled
-- ARGV: id step state epoch failure
-- Returns: OK | RACED, each with step_state run_state wait trace_parent sends
-- OOM: allow
-- Uses: now log run step def unsend queue settle end_run end_test fail_step answer
local id, step, state, epoch, failure = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  dlq = KEYS[7], idx_scheduled = KEYS[8], idx_running = KEYS[9], idx_paused = KEYS[10], idx_cancelling = KEYS[11],
  idx_succeeded = KEYS[12], idx_failed = KEYS[13], idx_cancelled = KEYS[14],
}
read_run(s)
local t = read_step(s, step)
local movable = state == 'queued' or state == 'retrying'
if not movable or t.state ~= state or t.epoch ~= epoch then return answer(s, t, 'RACED') end
local why, children = cjson.decode(failure), children_of(s, step)
unsend(s, t)
fail_step(s, t, children, failure, why.code, why.message)
return answer(s, t, 'OK')
