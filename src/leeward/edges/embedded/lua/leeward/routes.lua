-- The table: one string for each host in a shared dict, so that a change is one write and no reader sees half of it.
--
-- A line of the table is `route <app> <generation> <flags> <rate> <window> <peers> <hosts>`, `drop <app>` or
-- `cert <host> <chain> <key>` (base64 of PEM), with tabs in between. The value of a host is
-- `<app> <generation> <flags> <rate> <window> <peers>`; that of `=<app>` is the same with the hosts behind it.

local routes = ngx.shared.routes
local certs = ngx.shared.certs
local meta = ngx.shared.meta
local find, match, gmatch, sub = string.find, string.match, string.gmatch, string.sub
local tonumber, pairs = tonumber, pairs

local _M = {}

-- Parsed values by their text: an update is another text, and a request that holds the old one ends with it.
local parsed, kept = {}, 0
local MOST = 20000

local function parse(line)
    local app, generation, flags, rate, window, peers = match(line, "^(%S+)\t(%d+)\t(%l*)\t(%d+)\t(%d+)\t(.*)$")
    local route = {
        app = app,
        generation = generation,
        rate = tonumber(rate),
        window = tonumber(window),
        https_only = find(flags, "s", 1, true) ~= nil,
        wakes = find(flags, "w", 1, true) ~= nil,
        firewall = find(flags, "b", 1, true) and "block" or find(flags, "d", 1, true) and "detect" or "open",
        cache = find(flags, "a", 1, true) and "assets" or find(flags, "c", 1, true) and "all" or "off",
        n = 0,
        turn = ngx.worker.id() or 0,
        peers = {},
        addresses = {},
        ports = {},
    }
    for peer in gmatch(peers, "[^,]+") do
        local address, port = match(peer, "^(.*):(%d+)$")
        local n = route.n + 1
        route.n = n
        route.peers[n] = peer
        route.addresses[n] = address
        route.ports[n] = tonumber(port)
    end
    route.simple = route.firewall == "open" and route.cache == "off"
    return route
end

-- The route that a text says.
function _M.parsed(line)
    local route = parsed[line]
    if not route then
        if kept >= MOST then
            parsed, kept = {}, 0
        end
        route = parse(line)
        parsed[line] = route
        kept = kept + 1
    end
    return route
end

-- The text of the route of a host name (lower case, no port), or nil.
function _M.find(host)
    local line = routes:get(host)
    if line then
        return line
    end
    local dot = find(host, ".", 1, true)
    return dot and routes:get("*" .. sub(host, dot))
end

local loaded = false

-- Whether a table was ever given to this edge.
function _M.loaded()
    loaded = loaded or meta:get("loaded") == true
    return loaded
end

function _M.set_loaded()
    meta:set("loaded", true)
end

local function hosts_of(app)
    local record = routes:get("=" .. app)
    return record and match(record, "([^\t]*)$") or ""
end

local function owner(host)
    local line = routes:get(host)
    return line and match(line, "^[^\t]*")
end

local function put(line)
    local value, hosts = match(line, "^route\t(%S+\t%d+\t%l*\t%d+\t%d+\t[^\t]*)\t([^\t]*)$")
    if not value then
        return nil, "not a route"
    end
    local app = match(value, "^[^\t]*")
    local before = hosts_of(app)
    local now = {}
    for host in gmatch(hosts, "[^,]+") do
        now[host] = true
        local ok, err = routes:safe_set(host, value)
        if not ok then
            return nil, err
        end
    end
    local ok, err = routes:safe_set("=" .. app, value .. "\t" .. hosts)
    if not ok then
        return nil, err
    end
    for host in gmatch(before, "[^,]+") do
        if not now[host] and owner(host) == app then
            routes:delete(host)
        end
    end
    return true
end

local function drop(app)
    for host in gmatch(hosts_of(app), "[^,]+") do
        if owner(host) == app then
            routes:delete(host)
        end
    end
    routes:delete("=" .. app)
    return true
end

local function put_certificate(host, chain, key)
    chain, key = ngx.decode_base64(chain), ngx.decode_base64(key)
    if not chain or not key then
        return nil, "not base64"
    end
    return certs:safe_set(host, chain .. "\0" .. key)
end

-- Carry out one line; nil and a reason if that cannot be.
function _M.apply(line)
    local verb, rest = match(line, "^(%l+)\t(.*)$")
    if verb == "route" then
        return put(line)
    elseif verb == "drop" then
        return drop(rest)
    elseif verb == "cert" then
        local host, chain, key = match(rest, "^([^\t]+)\t([^\t]+)\t([^\t]+)$")
        if host then
            return put_certificate(host, chain, key)
        end
    end
    return nil, "not a line of the table"
end

-- Carry out all whole lines of a text; `each` is called now and then, so that others get their turn.
function _M.apply_all(text, each)
    local n = 0
    for line in gmatch(text, "([^\n]*)\n") do
        local ok, err = _M.apply(line)
        if not ok then
            return nil, err, n
        end
        n = n + 1
        if each and n % 500 == 0 then
            each()
        end
    end
    return n
end

-- Forget every app and certificate that a text does not name.
function _M.keep_only(text)
    local apps, hosts = {}, {}
    for verb, name in gmatch(text, "(%l+)\t([^\t\n]+)") do
        if verb == "route" then
            apps[name] = true
        elseif verb == "cert" then
            hosts[name] = true
        end
    end
    for _, key in pairs(routes:get_keys(0)) do
        local app = match(key, "^=(.*)$")
        if app and not apps[app] then
            drop(app)
        end
    end
    for _, host in pairs(certs:get_keys(0)) do
        if not hosts[host] then
            certs:delete(host)
        end
    end
end

-- The peers of an app as text, or nil.
function _M.peers(app)
    local record = routes:get("=" .. app)
    return record and match(record, "^%S+\t%d+\t%l*\t%d+\t%d+\t([^\t]*)")
end

return _M
