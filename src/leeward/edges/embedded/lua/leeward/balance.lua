-- Choose the peer of a request: in turn, the next one when a peer failed.

local routes = require("leeward.routes")
local balancer = require("ngx.balancer")

local set_current_peer = balancer.set_current_peer
local set_more_tries = balancer.set_more_tries
local get_last_failure = balancer.get_last_failure
local var = ngx.var
local now = ngx.now
local gmatch = string.gmatch

local _M = {}

-- A peer that failed is left alone for a moment, if there are others.
local AWAY_S = 1
local MOST_TRIES = 4
local away, any_away_until = {}, 0

local function is_away(peer)
    local until_ = away[peer]
    if not until_ then
        return false
    end
    if until_ <= now() then
        away[peer] = nil
        return false
    end
    return true
end

local function first(route)
    local n = route.n
    local i = route.turn % n + 1
    if n > 1 then
        set_more_tries(n < MOST_TRIES and n - 1 or MOST_TRIES - 1)
        if any_away_until > now() then
            for _ = 1, n do
                if not is_away(route.peers[i]) then
                    break
                end
                i = i % n + 1
            end
        end
    end
    route.turn = i
    return i
end

local function another(route)
    local tried, last = {}, nil
    for peer in gmatch(var.upstream_addr or "", "[^, ]+") do
        if peer ~= ":" then
            tried[peer] = true
            last = peer
        end
    end
    if last then
        any_away_until = now() + AWAY_S
        away[last] = any_away_until
    end
    local n = route.n
    local i = route.turn
    for _ = 1, n do
        i = i % n + 1
        if not tried[route.peers[i]] then
            break
        end
    end
    route.turn = i
    return i
end

-- Point the request at a peer.
function _M.choose()
    local route = routes.parsed(var.route)
    local i = get_last_failure() and another(route) or first(route)
    local ok, err = set_current_peer(route.addresses[i], route.ports[i])
    if not ok then
        ngx.log(ngx.ERR, "peer ", route.peers[i], ": ", err)
        return ngx.exit(502)
    end
end

return _M
