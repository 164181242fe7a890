-- Hold requests for an app that is asleep, and say which apps are waited for.
--
-- What waits is a mark that runs out by itself: a worker that goes down leaves nothing behind that must be cleared.

local routes = require("leeward.routes")
local count = require("leeward.count")
local settings = require("leeward.settings")

local waits = ngx.shared.waits
local sleep, now, exiting = ngx.sleep, ngx.now, ngx.worker.exiting
local concat = table.concat

local _M = {}

-- In each worker. Whoever is turned away is told when to come again.
local MOST_HELD = 256
local LOOK_S = 0.02
-- Longer than the pause between two looks of any request that is held.
local MARK_S = 0.25

local held = {}

-- The route as soon as it has a peer; nil when that takes too long, or too many wait already, and whether there is
-- nothing to wait for any more. A worker that is to go would never hear of a peer: those come to the one after it.
function _M.until_awake(name, route)
    local app = route.app
    local before = held[app] or 0
    waits:set(app, true, MARK_S)
    if before >= MOST_HELD then
        return nil
    end
    held[app] = before + 1
    local until_ = now() + settings.wake_s
    local found, line
    repeat
        sleep(LOOK_S)
        line = routes.find(name)
        found = line and routes.parsed(line)
        if not found or found.n > 0 or not found.wakes then
            break
        end
        waits:set(app, true, MARK_S)
    until now() >= until_ or exiting()
    local left = held[app] - 1
    held[app] = left > 0 and left or nil
    if found ~= route then
        -- Nobody waits any more: whoever still looks sees the same at once.
        waits:delete(app)
    end
    if not found or found.n == 0 then
        return nil, not found or not found.wakes
    end
    ngx.var.route = line
    count.moved(route, found)
    return found
end

-- The apps that are waited for, by commas: as soon as there is one, at the latest after so many seconds.
function _M.waiting(seconds)
    local until_ = now() + seconds
    local keys = waits:get_keys(0)
    while #keys == 0 and now() < until_ and not exiting() do
        sleep(LOOK_S)
        keys = waits:get_keys(0)
    end
    return concat(keys, ",")
end

return _M
