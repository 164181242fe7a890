"""Serve a directory of files with nginx, as its own small image."""

import re
import shlex
from collections.abc import Sequence

from leeward.builders.blueprint import Blueprint, Copy, Env, Instruction, Run, Stage, User, Workdir

ROOT = "/app/public"
CONFIG = "/app/leeward-static.conf"
COMMAND = "leeward-static"
FLAVOUR = "static"
_ASSETS = r"\.(?:js|mjs|css|map|woff2?|ttf|otf|png|jpe?g|gif|svg|webp|avif|ico|wasm|mp4|webm)$"


def config(spa: bool, hashed: str = "") -> tuple[str, ...]:
    """nginx's configuration; the port is put in when it starts.

    `spa`: unknown paths are the app's own. `hashed`: the directory of files that have a hash in their name, so that
    browsers may keep them for ever.
    """
    missing = (
        "try_files $uri $uri/index.html $uri.html /index.html;"
        if spa
        else "try_files $uri $uri/index.html $uri.html =404;"
    )
    paths = [f"  {name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    return (
        "worker_processes 1; pid /tmp/nginx.pid; error_log /dev/stderr warn; daemon off;",
        "events { worker_connections 1024; }",
        "http {",
        "  include /etc/nginx/mime.types; default_type application/octet-stream; charset utf-8;",
        *paths,
        "  access_log /dev/stdout; sendfile on; tcp_nopush on; server_tokens off; etag on;",
        "  gzip on; gzip_vary on; gzip_min_length 1024;",
        "  gzip_types text/css text/plain application/javascript application/json application/manifest+json",
        "    image/svg+xml;",
        "  server {",
        f"    listen __PORT__; root {ROOT}; absolute_redirect off; error_page 404 /404.html;",
        "    location ^~ /.well-known/ { try_files $uri =404; }",
        "    location ~ /\\. { return 404; }",
        *(_for_ever(hashed) if hashed else ()),
        f'    location ~* "{_ASSETS}" {{ add_header Cache-Control "public, max-age=300"; try_files $uri =404; }}',
        f'    location / {{ add_header Cache-Control "no-cache"; {missing} }}',
        "  }",
        "}",
    )


def _for_ever(hashed: str) -> tuple[str, ...]:
    return (
        f'    location ~* "^/{re.escape(hashed)}/.*[.-][0-9a-z_-]{{8,}}{_ASSETS}" {{',
        '      add_header Cache-Control "public, max-age=31536000, immutable"; try_files $uri =404;',
        "    }",
    )


_SCRIPT = (
    "#!/bin/sh",
    f'sed "s/__PORT__/${{PORT:-8080}}/" {CONFIG} > /tmp/nginx.conf && exec nginx -e stderr -c /tmp/nginx.conf',
)


def stage(copies: Sequence[Copy], spa: bool, hashed: str = "") -> Stage:
    """The image of a site: the server's files first, the site last."""
    script = f"/usr/local/bin/{COMMAND}"
    prepare: list[Instruction] = [
        Run((write(CONFIG, config(spa, hashed)), write(script, _SCRIPT), f"chmod 755 {script}")),
        Env({"HOME": "/tmp", "PORT": "8080"}),
    ]
    return Stage("run", FLAVOUR, (*prepare, Workdir("/app"), *copies, User("1000:1000")))


def blueprint(before: Sequence[Stage], copies: Sequence[Copy], spa: bool, hashed: str = "") -> Blueprint:
    """Stages that make the files, then the image that serves them."""
    return Blueprint((*before, stage(copies, spa, hashed)), COMMAND)


def write(path: str, lines: Sequence[str]) -> str:
    """A command that writes a file, line by line."""
    words = " \\\n    ".join(shlex.quote(line) for line in lines)
    return f"printf '%s\\n' \\\n    {words} \\\n    > {path}"
