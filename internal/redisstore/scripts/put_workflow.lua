-- put_workflow registers a version of a workflow, unless another definition has it.
-- KEYS: workflow workflows
-- ARGV: name version digest registration overwrite
-- Returns: OK | OK_ALREADY | CONFLICT
-- OOM: allow
-- Uses: now
local name, version, digest, registration, overwrite = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local s = {now = now(), workflow = KEYS[1], workflows = KEYS[2]}
local present = redis.call('HGET', s.workflow, version)
local same = present and string.match(present, '^{"digest":"(%x+)"') == digest
if present and not same and overwrite ~= '1' then return {'CONFLICT'} end
redis.call('SADD', s.workflows, name)
if same then return {'OK_ALREADY'} end
local head = '{"digest":"' .. digest .. '","registered_at":' .. string.format('%.0f', s.now) .. ','
redis.call('HSET', s.workflow, version, head .. string.sub(registration, 2))
return {'OK'}
