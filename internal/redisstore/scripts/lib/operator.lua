-- operated is what operators' verbs return; state is that of the step which a refusal is about.
local function operated(s, reply, state) return {reply, s.state, state or '', s.trace, s.sends, s.stale or {}} end

-- asked reads the run, and answers a request about one that is gone, or one that was carried out before. nil: go on.
local function asked(s, nonce)
  s.more = {'ops', 'timeout', 'deadline', 'remaining'}
  read_run(s)
  s.ops, s.timeout, s.deadline, s.remaining = s.fields[9] or '', s.fields[10], s.fields[11], s.fields[12]
  if s.state == '' then return operated(s, 'NORUN') end
  if string.find(',' .. s.ops .. ',', ',' .. nonce .. ',', 1, true) then return operated(s, 'OK_ALREADY') end
end

-- remember notes that a request was carried out. The last 16 are kept.
local function remember(s, nonce)
  local kept = {}
  for op in string.gmatch(s.ops, '[^,]+') do kept[#kept + 1] = op end
  kept[#kept + 1] = nonce
  redis.call('HSET', s.run, 'ops', table.concat(kept, ',', math.max(1, #kept - 15)))
end

-- state_of is where a step stands; '' when the definition has none of that name.
local function state_of(s, name)
  if name == '' or not step_def(s, name) then return '' end
  return redis.call('HGET', s.steps, name .. ':state') or 'pending'
end

-- log_verb logs what an operator asked of the run as a whole.
local function log_verb(s, event, reason, actor)
  log(s, event, {name = '', epoch = 0, attempts = 0, worker = ''}, '', reason, actor)
end
