-- failure writes an error of the engine's own as dag.StepError is written.
local function failure(code, message)
  return '{"code":"' .. code .. '","message":' .. cjson.encode(message) .. ',"retryable":false}'
end
