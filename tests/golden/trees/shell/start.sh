#!/usr/bin/env bash
# Pages that a script makes when it starts.
set -eu
mkdir -p /tmp/site
printf '%s' '["blue","green"]' > /tmp/site/colours
exec python3 -m http.server "$PORT" --directory /tmp/site
