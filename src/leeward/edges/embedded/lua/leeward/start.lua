-- What the master and the workers do when they begin.
--
-- A master that was killed leaves its workers behind: they go on serving until a new master's workers are there, which
-- then ask them to finish what they have and go. The new master takes the table from the files of the agent.

local settings = require("leeward.settings")
local ffi = require("ffi")

ffi.cdef[[
int kill(int pid, int sig);
]]

local SIGQUIT = 3
local MOST_WORKERS = 64

local _M = {}
local orphans = {}

local function read(path)
    local file = io.open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function parent_of(pid)
    local stat = read("/proc/" .. pid .. "/stat")
    return stat and tonumber(string.match(stat, "%) %a (%d+)"))
end

local function is(title, pid)
    local text = read("/proc/" .. pid .. "/cmdline")
    return text and string.find(text, "nginx: " .. title .. " process", 1, true) == 1
end

local function is_orphan(pid)
    if not is("worker", pid) then
        return false
    end
    local parent = parent_of(pid)
    return not parent or not is("master", parent)
end

local function find_orphans(prefix)
    local found = {}
    for i = 0, MOST_WORKERS - 1 do
        local pid = tonumber(read(prefix .. "/workers/" .. i) or "")
        if pid and is_orphan(pid) then
            found[#found + 1] = pid
        end
    end
    return found
end

local function load_table(prefix)
    local routes = require("leeward.routes")
    local snapshot = read(prefix .. "/snapshot")
    if not snapshot then
        return
    end
    local n, err, good = routes.apply_all(snapshot)
    if not n then
        ngx.log(ngx.ERR, "the saved table breaks off after ", good, " lines: ", err)
    end
    routes.set_loaded()
end

-- In the master, before its sockets are opened; also at a reload, which keeps the table. Not for `nginx -t`.
function _M.master(given)
    settings.prefix = given.prefix
    settings.https_suffix = given.https_port == 443 and "" or ":" .. given.https_port
    local meta = ngx.shared.meta
    if meta:get("begun") then
        return
    end
    meta:set("begun", true)
    -- The socket of a master that was killed is still in the way.
    os.remove(given.socket)
    orphans = find_orphans(given.prefix)
    load_table(given.prefix)
end

-- In each worker.
function _M.worker()
    local id = ngx.worker.id()
    if not id then
        return
    end
    require("leeward.count").start_worker()
    if id == 0 then
        for _, pid in ipairs(orphans) do
            if is_orphan(pid) then
                ffi.C.kill(pid, SIGQUIT)
            end
        end
    end
    local file = io.open(settings.prefix .. "/workers/" .. id, "wb")
    if file then
        file:write(ngx.worker.pid())
        file:close()
    end
end

return _M
