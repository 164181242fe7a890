"""The buildpack for sites of ready files: nginx serves them."""

from leeward.builders.cnb.hooks import hooks, run
from leeward.builders.cnb.phase import Component, Phase, Process, key_of

COMMAND = "leeward-static"
# The platform's word for the directory of the site.
OUTPUT = "LEEWARD_OUTPUT"
FOLDERS = ("dist", "build", "_site", "out", "public", "site", "html", "www", "")
LOOKED_FOR = ("Staticfile", *(f"{folder}/index.html".lstrip("/") for folder in FOLDERS))
_CONFIG = """worker_processes 1; pid /tmp/nginx.pid; error_log /dev/stderr warn; daemon off;
events {{ worker_connections 1024; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream; charset utf-8;
  client_body_temp_path /tmp/client_body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  access_log /dev/stdout; sendfile on; server_tokens off; gzip on; gzip_vary on; gzip_min_length 1024;
  gzip_types text/css text/plain application/javascript application/json image/svg+xml;
  server {{
    listen __PORT__; root "{root}"; absolute_redirect off; error_page 404 /404.html;
    location ^~ /.well-known/ {{ try_files $uri =404; }}
    location ~ /\\. {{ return 404; }}
    location / {{ add_header Cache-Control "no-cache"; try_files $uri $uri/index.html $uri.html {last}; }}
  }}
}}
"""
_SCRIPT = """#!/bin/sh
here=$(dirname "$0")/..
sed "s/__PORT__/${PORT:-8080}/" "$here/nginx.conf" > /tmp/nginx.conf &&
    exec nginx -e stderr -c /tmp/nginx.conf
"""


def detect(phase: Phase) -> bool:
    """Whether there is a site, or the platform says that there will be one."""
    return bool(phase.env.get(OUTPUT) or phase.has(*LOOKED_FOR))


def build(phase: Phase) -> None:
    """The server's configuration; the site stays in the app's directory."""
    own = hooks(phase, "static")
    run(phase, *own.before, own.install, *own.between, own.build, *own.after)
    folder = site(phase)
    root = phase.app / folder if folder else phase.app
    if not root.is_dir() or not root.resolve().is_relative_to(phase.app.resolve()) or set(str(root)) & set('"\\;{}\n'):
        root = phase.app
    alone = not (root / "404.html").is_file() and [path.name for path in root.rglob("*.html")] == ["index.html"]
    text = _CONFIG.format(root=root, last="/index.html" if alone else "=404")
    layer = phase.layer("server")
    key = key_of(text, _SCRIPT)
    if layer.known != key:
        path = layer.empty()
        (path / "bin").mkdir()
        (path / "nginx.conf").write_text(text)
        (path / "bin" / COMMAND).write_text(_SCRIPT)
        (path / "bin" / COMMAND).chmod(0o755)
        layer.bill([Component(COMMAND, "1", f"pkg:generic/{COMMAND}@1")])
    layer.keep(key, launch=True)
    phase.processes([Process("web", COMMAND, True)])


def site(phase: Phase) -> str:
    """The directory of the site, below the app's."""
    if said := phase.env.get(OUTPUT):
        return said.strip("/")
    for line in phase.text("Staticfile").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "root" and value.strip():
            return value.strip().strip("/")
    return next((folder for folder in FOLDERS if phase.has(f"{folder}/index.html".lstrip("/"))), "")
