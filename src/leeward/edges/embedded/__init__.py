"""The edge of one machine: nginx with Lua."""
