-- The agent's door, on a unix socket: lines for the table, peers, counters, what waits.

local routes = require("leeward.routes")
local count = require("leeward.count")
local hold = require("leeward.hold")

local _M = {}

local function answer(status, text)
    ngx.status = status
    ngx.print(text)
    return ngx.exit(status)
end

local function body()
    ngx.req.read_body()
    local text = ngx.req.get_body_data()
    if text then
        return text
    end
    local file = ngx.req.get_body_file()
    if not file then
        return ""
    end
    local handle = assert(io.open(file, "rb"))
    text = handle:read("*a")
    handle:close()
    return text
end

local function breathe()
    ngx.sleep(0)
end

local function table_lines(whole)
    local text = body()
    local n, err = routes.apply_all(text, breathe)
    if not n then
        return answer(err == "no memory" and 507 or 400, err)
    end
    if whole then
        routes.keep_only(text)
        routes.set_loaded()
    end
    return answer(200, n)
end

-- Serve one call of the agent.
function _M.serve()
    local uri, method = ngx.var.uri, ngx.req.get_method()
    if method == "POST" and uri == "/lines" then
        return table_lines(false)
    elseif method == "POST" and uri == "/table" then
        return table_lines(true)
    elseif uri == "/peers" then
        local peers = routes.peers(ngx.var.arg_app or "")
        return answer(peers and 200 or 404, peers or "")
    elseif uri == "/traffic" then
        ngx.sleep(count.SETTLED_S)
        return answer(200, count.report())
    elseif uri == "/waiting" then
        return answer(200, hold.waiting(tonumber(ngx.var.arg_s) or 0))
    elseif uri == "/loaded" then
        return answer(200, routes.loaded() and "yes" or "no")
    end
    return answer(404, "")
end

return _M
