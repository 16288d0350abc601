-- answer is what complete, fail, release and reissue return.
local function answer(s, t, reply)
  local wait = t.state == 'retrying' and math.max(0, t.due - s.now) or 0
  local state = t.state
  if state == '' and s.state ~= '' then state = 'pending' end
  return {reply, state, s.state, wait, s.trace, s.sends}
end

-- refused answers a caller that does not hold the step's claim: its request was carried out before, or the claim is lost. nil: it holds it.
local function refused(s, t, nonce)
  if t.state == 'running' and t.claim == nonce then return nil end
  return answer(s, t, t.done == nonce and 'OK_ALREADY' or 'FENCED')
end
