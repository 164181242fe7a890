-- What happens to a request before it goes to an app: find its route, once, then the rules of that route.

local routes = require("leeward.routes")
local pages = require("leeward.pages")
local hold = require("leeward.hold")
local count = require("leeward.count")
local settings = require("leeward.settings")

local var = ngx.var
local limits = ngx.shared.limits
local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match, string.sub

local _M = {}

-- Host names by the header that was sent: lower case, without port and final dot.
local names, known = {}, 0
local MOST_NAMES = 20000

local function name_of(header)
    if not header then
        return ""
    end
    local name = names[header]
    if not name then
        name = gsub(gsub(lower(header), ":%d*$", ""), "%.$", "")
        if find(name, "[^%w%.%-_]") then
            name = ""
        end
        if known >= MOST_NAMES then
            names, known = {}, 0
        end
        names[header] = name
        known = known + 1
    end
    return name
end

-- Counted by IPv4 address and by IPv6 network: one customer has 2^64 addresses there.
local function over_limit(route)
    local key = route.app .. "\t" .. sub(var.binary_remote_addr, 1, 8)
    local seen = limits:incr(key, 1, 0, route.window)
    return seen and seen > route.rate
end

local assets = {}
for extension in string.gmatch(
    "css js mjs map png jpg jpeg gif svg webp avif ico bmp woff woff2 ttf otf eot wasm mp4 webm mp3 ogg pdf webmanifest",
    "%S+"
) do
    assets[extension] = true
end

-- How a request may be answered from the cache: 'off', or the mode of its route.
local function cache_of(route)
    if route.cache == "off" then
        return "off"
    end
    local method = ngx.req.get_method()
    if (method ~= "GET" and method ~= "HEAD") or var.http_authorization or var.http_upgrade then
        return "off"
    end
    if route.cache == "assets" then
        local extension = match(var.uri, "%.(%w+)$")
        return extension and assets[lower(extension)] and "assets" or "off"
    end
    local accept = var.http_accept
    return accept and find(accept, "text/event-stream", 1, true) and "off" or "all"
end

local function jump(route, name)
    local cache = cache_of(route)
    if cache ~= "off" then
        -- Another generation is another key: that is all there is to a purge.
        var.cache_key = route.app .. ":" .. route.generation .. ":" .. var.scheme .. ":" .. name .. var.request_uri
    end
    if route.firewall ~= "open" or cache ~= "off" then
        return ngx.exec("@" .. route.firewall .. "_" .. cache)
    end
end

local function enter(secure)
    local name = name_of(var.http_host)
    local line = routes.find(name)
    if not line then
        if not routes.loaded() then
            return pages.loading()
        end
        return pages.show(404)
    end
    local route = routes.parsed(line)
    if not secure and route.https_only then
        return ngx.redirect("https://" .. name .. settings.https_suffix .. var.request_uri, 308)
    end
    -- Read once: the balancer and the log use this text, whatever the table says by then.
    var.route = line
    count.began(route)
    if route.rate > 0 and over_limit(route) then
        return pages.show(429, route.window)
    end
    if route.n == 0 then
        if not route.wakes then
            return pages.show(503, 5)
        end
        local in_vain
        route, in_vain = hold.until_awake(name, route)
        if not route then
            return in_vain and pages.show(503, 5) or pages.asleep()
        end
    end
    if not route.simple then
        return jump(route, name)
    end
end

function _M.plain()
    return enter(false)
end

function _M.secure()
    return enter(true)
end

return _M
