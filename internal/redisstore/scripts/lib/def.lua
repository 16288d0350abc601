-- step_def reads what the frozen definition says about a step; nil when it has no such step.
local function step_def(s, name)
  local raw = redis.call('HGET', s.def, 'step:' .. name)
  return raw and cjson.decode(raw) or nil
end

-- children_of reads a step's children: name, number of parents, handler, queue. Call it before the first write: it fails without a definition.
local function children_of(s, name)
  local raw = redis.call('HGET', s.def, 'children:' .. name)
  if not raw then error('CORRUPT no step ' .. name .. ' in ' .. s.def) end
  return cjson.decode(raw)
end

-- steps_of lists all steps in topological order.
local function steps_of(s)
  local raw = redis.call('HGET', s.def, 'steps')
  if not raw then error('CORRUPT no steps in ' .. s.def) end
  return cjson.decode(raw)
end
