#!lua name=finaira
-- Writes a batch, if the cursor is where the connector left it. The whole function is one atomic unit.
--
-- keys: the cursor; then the keys to set; then the keys to delete.
-- args: fence, expected position, expected root, expected opening, new origin, new position, new root, new opening, the number of keys to
-- set; then the values.
redis.register_function('finaira_write', function(keys, args)
  local cursor = redis.call('HMGET', keys[1], 'fence', 'position', 'root', 'opening')
  if cursor[1] ~= args[1] then
    return {'fenced', cursor[1] or '0'}
  end
  if cursor[2] ~= args[2] or cursor[3] ~= args[3] or cursor[4] ~= args[4] then
    return {'moved', cursor[2] or '0'}
  end
  local sets = tonumber(args[9])
  for place = 1, sets do
    redis.call('SET', keys[1 + place], args[9 + place])
  end
  for place = 2 + sets, #keys do
    redis.call('UNLINK', keys[place])
  end
  redis.call('HSET', keys[1], 'origin', args[5], 'position', args[6], 'root', args[7], 'opening', args[8])
  return {'done', args[6]}
end)

-- Takes the copy over: raises the fence and returns it with the cursor, which it creates if there is none.
--
-- keys: the cursor. args: the projection, the origin and the root of an empty copy.
redis.register_function('finaira_take', function(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then
    redis.call('HSET', keys[1], 'origin', args[2], 'position', '0', 'root', args[3], 'opening', '', 'fence', '0', 'projection', args[1])
  end
  redis.call('HINCRBY', keys[1], 'fence', 1)
  return redis.call('HMGET', keys[1], 'fence', 'projection', 'origin', 'position', 'root', 'opening')
end)
