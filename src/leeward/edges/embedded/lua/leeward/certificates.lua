-- Choose the certificate of a handshake by the name that the client asks for.

local ssl = require("ngx.ssl")

local certs = ngx.shared.certs
local find, lower, sub = string.find, string.lower, string.sub

local _M = {}

-- Parsed chains and keys by their text.
local parsed, kept = {}, 0
local MOST = 2000

local function parse(text)
    local middle = find(text, "\0", 1, true)
    local chain, err = ssl.parse_pem_cert(sub(text, 1, middle - 1))
    if not chain then
        return nil, err
    end
    local key
    key, err = ssl.parse_pem_priv_key(sub(text, middle + 1))
    if not key then
        return nil, err
    end
    return {chain = chain, key = key}
end

local function pair_of(text)
    local pair = parsed[text]
    if not pair then
        local err
        pair, err = parse(text)
        if not pair then
            return nil, err
        end
        if kept >= MOST then
            parsed, kept = {}, 0
        end
        parsed[text] = pair
        kept = kept + 1
    end
    return pair
end

-- Set the certificate; without one of its own a name gets that of the platform's domain.
function _M.choose()
    local name = ssl.server_name()
    if not name then
        return
    end
    name = lower(name)
    local text = certs:get(name)
    if not text then
        local dot = find(name, ".", 1, true)
        text = dot and certs:get("*" .. sub(name, dot))
    end
    if not text then
        return
    end
    local pair, err = pair_of(text)
    if not pair then
        ngx.log(ngx.ERR, "certificate of ", name, ": ", err)
        return
    end
    ssl.clear_certs()
    local ok
    ok, err = ssl.set_cert(pair.chain)
    if ok then
        ok, err = ssl.set_priv_key(pair.key)
    end
    if not ok then
        ngx.log(ngx.ERR, "certificate of ", name, ": ", err)
        return ngx.exit(ngx.ERROR)
    end
end

return _M
