-- children_begun tells whether a child of a failed step acted on its failure, which can then not be taken back.
local function children_begun(s, t)
  if t.state ~= 'failed' then return false end
  for _, child in ipairs(t.children) do
    if redis.call('HGET', s.steps, child.name .. ':state') then return true end
  end
  return false
end

-- take_back takes the step's failure back from its children and from the dead letters. The step is active again.
local function take_back(s, t)
  for _, child in ipairs(t.children) do redis.call('HINCRBY', s.steps, child.name .. ':fail', -1) end
  redis.call('ZREM', s.dlq, s.id .. ':' .. t.name)
  s.active = s.active + 1
end
