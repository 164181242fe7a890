-- The few pages that the edge answers by itself.

local _M = {}

local frame = [[<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%s</title><style>body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1rem;
color:#1c2024;background:#fbfcfd}h1{font-size:1.25rem}p{color:#60646c}@media(prefers-color-scheme:dark){body{color:
#edeef0;background:#111113}p{color:#b0b4ba}}</style><h1>%s</h1><p>%s</p></html>
]]

local texts = {
    [404] = {"No such app", "Nothing is served under this name."},
    [429] = {"Too many requests", "This address has asked too often. Try again in a moment."},
    [502] = {"The app did not answer", "It was reached, but it broke off or refused every attempt. Try again in a moment."},
    [503] = {"The app is not running", "It is starting, stopped, or being repaired. Try again in a moment."},
    [504] = {"The app did not answer in time", "No attempt to reach it succeeded. Try again in a moment."},
}

local function send(status, title, text, retry_after)
    ngx.status = status
    ngx.header["Content-Type"] = "text/html; charset=utf-8"
    ngx.header["Cache-Control"] = "no-store"
    if retry_after then
        ngx.header["Retry-After"] = retry_after
    end
    ngx.print(string.format(frame, title, title, text))
    return ngx.exit(status)
end

-- Answer with the page of a status.
function _M.show(status, retry_after)
    local text = texts[status]
    return send(status, text[1], text[2], retry_after)
end

-- Every peer failed.
function _M.failed()
    local status = ngx.status
    return _M.show(texts[status] and status or 502)
end

-- The table is not here yet.
function _M.loading()
    return send(503, "One moment", "The platform is starting.", 2)
end

-- The app did not wake in time, or too many wait for it already.
function _M.asleep()
    return send(503, "The app is asleep", "It was woken, and is not ready yet. Try again in a moment.", 5)
end

-- The control plane is away.
function _M.away()
    return send(503, "The console is away", "All apps go on being served. The console will be back in a moment.", 5)
end

return _M
