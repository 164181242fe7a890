-- Count what each app was asked: in the worker's own memory, published to the shared dict in short intervals.
--
-- Each worker writes its own keys (`<worker> <app>`), so that nothing is locked on the way of a request and a worker
-- that is started again goes on where the one before was.

local routes = require("leeward.routes")
local ffi = require("ffi")

local stats = ngx.shared.stats
local var = ngx.var
local floor, log = math.floor, math.log
local concat, gmatch, match, sub = table.concat, string.gmatch, string.match, string.sub
local pairs, tonumber = pairs, tonumber

local _M = {}

-- Names of the numbers: bytes, streams seen, dropped, status classes 1 to 5, then 64 buckets of latency.
local BYTES, SEEN, DROPPED, STATUS, BUCKETS, SIZE = 0, 1, 2, 2, 8, 72
local LAST_BUCKET = 63
-- Longer than the pause between two publications of any worker.
_M.SETTLED_S = 0.07
local PUBLISH_S = 0.05

local apps = {}
local dirty, armed = {}, false
local open_streams = 0

local function counters(app)
    local found = apps[app]
    if not found then
        found = {app = app, numbers = ffi.new("double[?]", SIZE), streams = {}, open = 0, dirty = false}
        local saved = stats:get(ngx.worker.id() .. " " .. app)
        if saved and #saved == SIZE * 8 then
            ffi.copy(found.numbers, saved, SIZE * 8)
        end
        apps[app] = found
    end
    return found
end

local function of_route(route)
    local found = route.counters
    if not found then
        found = counters(route.app)
        route.counters = found
    end
    return found
end

local function publish_open(key, found)
    if found.open > 0 then
        stats:set(key, found.open)
    else
        stats:delete(key)
    end
end

local function publish()
    armed = false
    local worker = ngx.worker.id() .. " "
    local changed = dirty
    dirty = {}
    for app, found in pairs(changed) do
        found.dirty = false
        stats:set(worker .. app, ffi.string(found.numbers, SIZE * 8))
        publish_open("o " .. worker .. app, found)
        local open = {}
        for peer, n in pairs(found.streams) do
            open[#open + 1] = peer .. "=" .. n
        end
        if #open > 0 then
            stats:set("s " .. worker .. app, concat(open, ","))
        else
            stats:delete("s " .. worker .. app)
        end
    end
end

local function touch(found)
    if not found.dirty then
        found.dirty = true
        dirty[found.app] = found
        if not armed then
            armed = ngx.timer.at(PUBLISH_S, publish) == true
            if not armed then
                -- A worker that goes publishes no more: what it said to be open would stay so for ever.
                local key = ngx.worker.id() .. " " .. found.app
                stats:delete("o " .. key)
                stats:delete("s " .. key)
            end
        end
    end
end

-- BOUNDS_MS of the model are 0.5 * 1.2^i.
local bucket_of = setmetatable({}, {
    __index = function(known, ms)
        local i = ms < 0.5 and 0 or floor(log(ms / 0.5) / log(1.2)) + 1
        i = i > LAST_BUCKET and LAST_BUCKET or i
        if ms < 10000 then
            known[ms] = i
        end
        return i
    end,
})
_M.bucket_of = bucket_of

-- Streams whose peer does not take connections any more were broken by it: asked once for all that ended together.
local ended = {}

local function probe(_, peer)
    local by_app = ended[peer]
    ended[peer] = nil
    local address, port = match(peer, "^(.*):(%d+)$")
    local socket = ngx.socket.tcp()
    socket:settimeout(1000)
    if socket:connect(address, tonumber(port)) then
        socket:close()
        return
    end
    for app, n in pairs(by_app) do
        local found = counters(app)
        found.numbers[DROPPED] = found.numbers[DROPPED] + n
        touch(found)
    end
end

local function stream_ended(found, peer)
    local n = (found.streams[peer] or 1) - 1
    found.streams[peer] = n > 0 and n or nil
    open_streams = open_streams - 1
    if not ended[peer] then
        ended[peer] = {}
        ngx.timer.at(0.1, probe, peer)
    end
    ended[peer][found.app] = (ended[peer][found.app] or 0) + 1
end

local kinds, known_kinds = {}, 0

local function is_stream(kind)
    if kind == nil then
        return false
    end
    local known = kinds[kind]
    if known == nil then
        known = sub(kind, 1, 17) == "text/event-stream"
        if known_kinds >= 1000 then
            kinds, known_kinds = {}, 0
        end
        kinds[kind] = known
        known_kinds = known_kinds + 1
    end
    return known
end

-- Notice the beginning of a stream.
function _M.headers()
    if ngx.status ~= 101 and not is_stream(ngx.header["Content-Type"]) then
        return
    end
    local line = var.route
    local peer = match(var.upstream_addr or "", "([^, ]+)$")
    if line == "" or not peer then
        return
    end
    local found = counters(routes.parsed(line).app)
    ngx.ctx.stream = peer
    open_streams = open_streams + 1
    found.streams[peer] = (found.streams[peer] or 0) + 1
    found.numbers[SEEN] = found.numbers[SEEN] + 1
    touch(found)
end

-- Count a request as open. Whoever calls this puts the route into the request's variable: `finished` looks there.
function _M.began(route)
    local found = of_route(route)
    found.open = found.open + 1
    touch(found)
end

-- A request that is open goes on with another route.
function _M.moved(from, to)
    if from.app ~= to.app then
        local left = of_route(from)
        left.open = left.open - 1
        touch(left)
        _M.began(to)
    end
end

-- Count a request that is over.
function _M.finished()
    local line = var.route
    if not line or line == "" then
        return
    end
    local found = of_route(routes.parsed(line))
    found.open = found.open - 1
    local numbers = found.numbers
    local class = floor(ngx.status / 100)
    class = class == 1 and 2 or class > 5 and 5 or class
    numbers[STATUS + class] = numbers[STATUS + class] + 1
    numbers[BYTES] = numbers[BYTES] + tonumber(var.bytes_sent)
    local peer = open_streams > 0 and ngx.ctx.stream
    if peer then
        stream_ended(found, peer)
    else
        local bucket = BUCKETS + bucket_of[floor((ngx.now() - ngx.req.start_time()) * 1000 + 0.5)]
        numbers[bucket] = numbers[bucket] + 1
    end
    touch(found)
end

-- A worker begins: what the one before had open went down with it.
function _M.start_worker()
    local mine = "^s " .. ngx.worker.id() .. " (.*)$"
    local open = "^o " .. ngx.worker.id() .. " "
    for _, key in pairs(stats:get_keys(0)) do
        if match(key, open) then
            stats:delete(key)
        end
        local app = match(key, mine)
        if app then
            local found = counters(app)
            for n in gmatch(stats:get(key) or "", "=(%d+)") do
                found.numbers[DROPPED] = found.numbers[DROPPED] + tonumber(n)
            end
            touch(found)
        end
    end
end

-- All counters as lines: app, bytes, streams seen, dropped, five status classes, buckets, open streams by peer, open requests.
function _M.report()
    local sums, streams, open = {}, {}, {}
    local numbers = ffi.new("double[?]", SIZE)
    for _, key in pairs(stats:get_keys(0)) do
        local app = match(key, "^%d+ (.*)$")
        local kind, of = match(key, "^(%l) %d+ (.*)$")
        local value = stats:get(key)
        if kind == "o" then
            open[of] = (open[of] or 0) + (value or 0)
        elseif app and value and #value == SIZE * 8 then
            ffi.copy(numbers, value, SIZE * 8)
            local sum = sums[app] or {}
            for i = 0, SIZE - 1 do
                sum[i] = (sum[i] or 0) + numbers[i]
            end
            sums[app] = sum
        elseif kind == "s" and value then
            streams[of] = streams[of] and streams[of] .. "," .. value or value
        end
    end
    local lines = {}
    for app, sum in pairs(sums) do
        local row = {}
        for i = 0, SIZE - 1 do
            row[i + 1] = string.format("%d", sum[i])
        end
        row = {app, concat(row, " "), streams[app] or "", open[app] or 0}
        lines[#lines + 1] = concat(row, "\t") .. "\n"
    end
    return concat(lines)
end

return _M
