-- by_hand reads a step that an operator wants to settle, or returns nil and the refusal.
local function by_hand(s, name)
  local state = state_of(s, name)
  local open = s.state == 'scheduled' or s.state == 'running' or s.state == 'paused' or s.state == 'failed'
  local movable = state == 'failed' or state == 'queued' or state == 'retrying' or state == 'waiting'
  if not open or not movable then return nil, operated(s, 'CONFLICT', state) end
  local t = read_step(s, name)
  t.children = children_of(s, name)
  if children_begun(s, t) then return nil, operated(s, 'CONFLICT', state) end
  return t
end

-- settle_by_hand settles the step with an outcome for its children, and opens a failed run for that.
local function settle_by_hand(s, t, state, outcome, event, reason, actor)
  if s.state == 'failed' then open_run(s) end
  if t.state == 'failed' then take_back(s, t) else unsend(s, t) end
  s.stale = {{t.name, t.epoch}}
  s.active, s.completed = s.active - 1, s.completed + 1
  write_step(s, t, {
    state = state, claim = '', lease = 0, leaving = '', done = '', dead = '', due = 0, seen = 0, failures = 0, crashes = 0, error = '', finished_at = s.now,
  })
  log(s, event, t, '', reason, actor)
  settle(s, t.children, outcome)
  end_test(s)
end
