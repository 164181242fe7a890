"""Serve a PHP app: nginx answers, php-fpm runs the code, both as an ordinary user."""

from leeward.builders.blueprint import Run
from leeward.builders.providers.static_site import write

COMMAND = "leeward-php"
_NGINX = "/usr/local/share/leeward/php-nginx.conf"
_FPM = "/usr/local/share/leeward/php-fpm.conf"
# Never answered, even when the root of the source is the site's.
_HIDDEN = r"^/(?:vendor|node_modules|composer\.(?:json|lock)|package.*\.json|Procfile|leeward\.yaml)(?:/|$)"


def nginx(root: str) -> tuple[str, ...]:
    """nginx's configuration for a document root; the port is put in when it starts."""
    paths = [f"  {name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    return (
        "worker_processes 1; pid /tmp/nginx.pid; error_log /dev/stderr warn; daemon off;",
        "events { worker_connections 1024; }",
        "http {",
        "  include /etc/nginx/mime.types; default_type application/octet-stream; charset utf-8;",
        *paths,
        "  access_log off; sendfile on; tcp_nopush on; server_tokens off; client_max_body_size 64m;",
        # The edge is the only way in: the last address is the one that it saw.
        "  set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For;",
        '  map $http_x_forwarded_proto $leeward_https { default ""; https on; }',
        "  server {",
        f"    listen __PORT__; root {root}; index index.php index.html; absolute_redirect off;",
        "    location ^~ /.well-known/ { try_files $uri =404; }",
        "    location ~ /\\. { return 404; }",
        f'    location ~ "{_HIDDEN}" {{ return 404; }}',
        "    location / { try_files $uri $uri/ /index.php?$query_string; }",
        "    location ~ \\.php$ {",
        "      try_files $uri =404; include /etc/nginx/fastcgi_params; fastcgi_pass unix:/tmp/php-fpm.sock;",
        "      fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;",
        "      fastcgi_param DOCUMENT_ROOT $realpath_root; fastcgi_param HTTPS $leeward_https if_not_empty;",
        "      fastcgi_read_timeout 300s;",
        "    }",
        "  }",
        "}",
    )


# The files of an image never change, so their times need not be looked at.
_POOL = (
    "[global]",
    "error_log = /dev/stderr",
    "log_level = warning",
    "log_limit = 8192",
    "[www]",
    "listen = /tmp/php-fpm.sock",
    "pm = ondemand",
    "pm.max_children = ${PHP_FPM_CHILDREN}",
    "pm.max_requests = 1000",
    "pm.process_idle_timeout = 60s",
    "clear_env = no",
    "catch_workers_output = yes",
    "decorate_workers_output = no",
    "php_flag[display_errors] = off",
    "php_flag[log_errors] = on",
    "php_value[error_log] = /dev/stderr",
    "php_value[session.save_path] = /tmp",
    "php_value[upload_max_filesize] = 64M",
    "php_value[post_max_size] = 64M",
    "php_flag[opcache.validate_timestamps] = off",
)


def _script(version: str) -> tuple[str, ...]:
    return (
        "#!/bin/bash",
        "# When one of the two ends, so does the other.",
        f'sed "s/__PORT__/${{PORT:-8080}}/" {_NGINX} > /tmp/nginx.conf || exit 1',
        "export PHP_FPM_CHILDREN=${PHP_FPM_CHILDREN:-8}",
        f"php-fpm{version} --nodaemonize --fpm-config {_FPM} &",
        # nginx answers 502 until the pool listens: no request may meet it before that.
        "for _ in {1..200}; do [ -S /tmp/php-fpm.sock ] && break; kill -0 $! 2>/dev/null || exit 1; sleep 0.05; done",
        "nginx -e stderr -c /tmp/nginx.conf &",
        "trap 'kill -QUIT $(jobs -p) 2>/dev/null' TERM INT QUIT",
        "wait -n",
        "code=$?",
        "kill -QUIT $(jobs -p) 2>/dev/null",
        "wait",
        "exit $code",
    )


def files(version: str, root: str) -> Run:
    """The step that writes the server's own files."""
    script = f"/usr/local/bin/{COMMAND}"
    return Run((write(_NGINX, nginx(root)), write(_FPM, _POOL), write(script, _script(version)), f"chmod 755 {script}"))
