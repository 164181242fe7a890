#!/bin/sh
curl -fsS https://example.com/ | jq -r . > /tmp/page
exec socat TCP-LISTEN:$PORT,fork SYSTEM:'cat /tmp/page'
