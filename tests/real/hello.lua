-- What a dynamic program finds: its libraries, floating point, long jumps, memory that is given back,
-- files of its own, and other programs.
print("hello", 6 * 7, string.format("%.12f %.12f", math.sin(1), math.exp(1)))
print(select("#", table.unpack({}, 1, 200)), pcall(error, "caught"))

local lines = {}
for i = 1, 20000 do lines[i % 100 + 1] = { i, tostring(i) } end
collectgarbage()
print(#lines, collectgarbage("count") < 1000)

local squares = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * i) end end)
print(squares(), squares(), squares())

local name = os.tmpname()
local file = assert(io.open(name, "w+"))
for i = 1, 5000 do file:write(i, "\n") end
file:seek("set")
local sum = 0
for number in file:lines("n") do sum = sum + number end
file:close()
print(sum, os.remove(name), io.open(name) == nil)

local pipe = io.popen("while read -r line; do echo \"$line\"; done <<END\nfrom a shell\nEND\nexit 7")
print(pipe:read("a"), pipe:close())
