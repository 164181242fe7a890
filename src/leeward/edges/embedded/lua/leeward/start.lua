-- What the master and the workers do when they begin.
--
-- A master that was killed leaves its workers behind: they go on serving until a new master's workers are there, which
-- then ask them to finish what they have and go. The new master takes the table from the files of the agent.
--
-- nginx's two helpers, which look after the cache, run no Lua and would stay for ever. Whose they are shows a file: each
-- master holds its configuration open, and its children inherit that.

local settings = require("leeward.settings")
local ffi = require("ffi")

ffi.cdef[[
int kill(int pid, int sig);
int open(const char *path, int flags, ...);
ssize_t readlink(const char *path, char *into, size_t size);
struct leeward_entry { uint64_t inode; int64_t next; unsigned short length; unsigned char type; char name[256]; };
void *opendir(const char *path);
struct leeward_entry *readdir(void *folder);
int closedir(void *folder);
]]

local SIGQUIT = 3
local MOST_WORKERS = 64
local MOST_FILES = 256
local HELPERS = {"cache manager", "cache loader"}

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

local function is_helper(pid)
    return is(HELPERS[1], pid) or is(HELPERS[2], pid)
end

local function is_orphan(pid)
    if not is("worker", pid) and not is_helper(pid) then
        return false
    end
    local parent = parent_of(pid)
    return not parent or not is("master", parent)
end

-- The path of an open file; a configuration that was written anew meanwhile is still that one.
local function open_file(pid, fd)
    local into = ffi.new("char[4096]")
    local n = tonumber(ffi.C.readlink("/proc/" .. pid .. "/fd/" .. fd, into, 4096))
    return n > 0 and string.gsub(ffi.string(into, n), " %(deleted%)$", "") or nil
end

local function holds(pid, path)
    for fd = 0, MOST_FILES - 1 do
        if open_file(pid, fd) == path then
            return true
        end
    end
    return false
end

-- Helpers of a master that is no more, and was one of this configuration.
local function find_helpers(prefix, found)
    local mark = ffi.C.open(prefix .. "/nginx.conf", 0)
    local folder = ffi.C.opendir("/proc")
    if mark < 0 or folder == nil then
        return
    end
    local path = open_file("self", mark)
    local entry = ffi.C.readdir(folder)
    while path and entry ~= nil do
        local pid = tonumber(ffi.string(entry.name))
        if pid and is_helper(pid) and is_orphan(pid) and holds(pid, path) then
            found[#found + 1] = pid
        end
        entry = ffi.C.readdir(folder)
    end
    ffi.C.closedir(folder)
end

local function find_orphans(prefix)
    local found = {}
    for i = 0, MOST_WORKERS - 1 do
        local pid = tonumber(read(prefix .. "/workers/" .. i) or "")
        if pid and is_orphan(pid) then
            found[#found + 1] = pid
        end
    end
    find_helpers(prefix, found)
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
    settings.wake_s = given.wake_s
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
