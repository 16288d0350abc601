-- create_run creates a run with its root steps queued, or finds the run that its idempotency key names.
-- KEYS: run input steps log def agenda doubts idem idx_all idx_scheduled idx_running idx_workflow labels...
-- ARGV: id key fingerprint workflow version digest body timeout start_at labels correlation_id trace_parent keep keep_failed definition...
-- Returns: OK id trace_parent sends now | DUP id | MISMATCH id | NODEF (send again with the definition: its fields and values in turn)
-- OOM: deny
-- Uses: now log step unsend queue
-- Longer than most: it writes every field of a run. What a repetition finds it writes again: since Redis 7.2 WAIT counts from its connection's last
-- write, and a repetition comes over another connection than the start did.
local id, key, fingerprint, workflow, version, digest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local body, timeout, start_at, labels, correlation_id, trace_parent = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], ARGV[11], ARGV[12]
local keep, keep_failed = tonumber(ARGV[13]), tonumber(ARGV[14])
local s = {
  id = id, now = now(), sends = {}, run = KEYS[1], input = KEYS[2], steps = KEYS[3], log = KEYS[4], def = KEYS[5], agenda = KEYS[6],
  doubts = KEYS[7], idem = KEYS[8], idx_all = KEYS[9], idx_scheduled = KEYS[10], idx_running = KEYS[11], idx_workflow = KEYS[12],
}
if key ~= '' then
  local found = redis.call('HMGET', s.idem, 'run', 'fingerprint')
  if found[1] and found[2] ~= fingerprint then return {'MISMATCH', found[1]} end
  if found[1] then
    redis.call('HSET', s.idem, 'run', found[1])
    return {'DUP', found[1]}
  end
end
local created_at = redis.call('HGET', s.run, 'created_at')
if created_at then
  redis.call('HSET', s.run, 'created_at', created_at)
  return {'DUP', id}
end
for i = 15, #ARGV, 2 do redis.call('HSET', s.def, ARGV[i], ARGV[i + 1]) end
local frozen = redis.call('HMGET', s.def, 'roots', 'total')
if not frozen[1] then return {'NODEF'} end
local roots = cjson.decode(frozen[1])

local start = math.max(s.now, start_at)
s.state = start > s.now and 'scheduled' or 'running'
redis.call('HSET', s.run, 'workflow', workflow, 'version', version, 'def', digest, 'state', s.state, 'total', frozen[2], 'active', #roots,
  'completed', 0, 'bytes', #body, 'timeout', timeout, 'created_at', s.now, 'deadline', start + timeout)
local optional = {
  key = key, labels = labels, correlation_id = correlation_id, trace_parent = trace_parent, start_at = start > s.now and start or '',
  keep = keep > 0 and keep or '', keep_failed = keep_failed > 0 and keep_failed or '',
}
for f, v in pairs(optional) do
  if v ~= '' then redis.call('HSET', s.run, f, v) end
end
redis.call('SET', s.input, body)
if key ~= '' then redis.call('HSET', s.idem, 'run', id, 'fingerprint', fingerprint) end
redis.call('ZADD', s.agenda, start + timeout, 'end:' .. id)
log(s, 'created')
for _, root in ipairs(roots) do queue(s, {name = root.name, epoch = 0, handler = root.handler, queue = root.queue}, start) end
redis.call('ZADD', s['idx_' .. s.state], s.now, id)
redis.call('ZADD', s.idx_all, s.now, id)
redis.call('ZADD', s.idx_workflow, s.now, id)
for i = 13, #KEYS do redis.call('ZADD', KEYS[i], s.now, id) end
return {'OK', id, trace_parent, s.sends, s.now}
