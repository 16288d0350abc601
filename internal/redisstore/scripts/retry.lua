-- retry queues a failed or retrying step again, or every failed step of a run, and opens a failed run anew.
-- KEYS: run steps log def agenda doubts dlq idx_running idx_failed
-- ARGV: id step nonce actor reason
-- Returns: OK | OK_ALREADY | CONFLICT | NORUN, each with run_state step_state trace_parent sends stale
-- OOM: allow
-- Uses: now log run step def queue
-- Longer than most: nothing may be written before every step that it names has been looked at.
local id, step, nonce, actor, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local s = {
  id = id, now = now(), run = KEYS[1], steps = KEYS[2], log = KEYS[3], def = KEYS[4], agenda = KEYS[5], doubts = KEYS[6],
  dlq = KEYS[7], idx_running = KEYS[8], idx_failed = KEYS[9],
}
read_run(s)
local function say(reply, state) return {reply, s.state, state, s.trace, s.sends, {}} end
if s.state == '' then return say('NORUN', '') end
local ops = redis.call('HGET', s.run, 'ops') or ''
if string.find(',' .. ops .. ',', ',' .. nonce .. ',', 1, true) then return say('OK_ALREADY', '') end
local now_at = ''
if step ~= '' and step_def(s, step) then
  now_at = read_step(s, step).state
  if now_at == '' then now_at = 'pending' end
end
if s.state ~= 'running' and s.state ~= 'failed' and s.state ~= 'paused' then return say('CONFLICT', now_at) end
if step ~= '' and now_at ~= 'failed' and now_at ~= 'retrying' then return say('CONFLICT', now_at) end
local targets = {}
for _, name in ipairs(step ~= '' and {step} or steps_of(s)) do
  if step ~= '' or redis.call('HGET', s.steps, name .. ':state') == 'failed' then
    local t, frozen = read_step(s, name), step_def(s, name)
    t.handler, t.queue, t.was = frozen.handler, frozen.queue, t.state
    t.children = t.was == 'failed' and children_of(s, name) or {}
    for _, child in ipairs(t.children) do
      if redis.call('HGET', s.steps, child.name .. ':state') then return say('CONFLICT', now_at) end
    end
    targets[#targets + 1] = t
  end
end
if #targets == 0 then return say('CONFLICT', '') end

if s.state == 'failed' then
  local deadline = s.now + redis.call('HGET', s.run, 'timeout')
  redis.call('HDEL', s.run, 'finished_at')
  redis.call('HSET', s.run, 'deadline', deadline)
  redis.call('ZADD', s.agenda, deadline, 'end:' .. id)
  move_run(s, 'running')
end
local answer = say('OK', '')
for _, t in ipairs(targets) do
  if t.was == 'failed' then
    for _, child in ipairs(t.children) do redis.call('HINCRBY', s.steps, child.name .. ':fail', -1) end
    redis.call('ZREM', s.dlq, id .. ':' .. t.name)
    s.active = s.active + 1
    if t.error ~= '' and cjson.decode(t.error).refused then write_step(s, t, {gen = t.gen + 1}) end
  end
  answer[6][#answer[6] + 1] = {t.name, t.epoch}
  write_step(s, t, {failures = 0, crashes = 0, dead = '', error = '', done = '', finished_at = 0})
  queue(s, t, 0)
  log(s, 'retried', t, '', reason, actor)
end
local kept = {}
for op in string.gmatch(ops, '[^,]+') do kept[#kept + 1] = op end
kept[#kept + 1] = nonce
write_run(s)
redis.call('HSET', s.run, 'ops', table.concat(kept, ',', math.max(1, #kept - 15)))
return answer
