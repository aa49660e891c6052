-- Many small tables, and a collector that goes through all of them again and again.
local tables = {}
for i = 1, 300000 do
    tables[i] = { i, tostring(i) }
    if i % 60000 == 0 then collectgarbage() end
end
local sum = 0
for i, entry in ipairs(tables) do
    assert(entry[2] == tostring(i))
    sum = sum + entry[1]
end
print(#tables, sum)
