"""Render the configuration of nginx and of its firewall. Pure."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from leeward.edges.embedded import paths
from leeward.errors import Invalid
from leeward.settings import Settings

TEMPLATE = resources.files(__package__).joinpath("nginx.conf.jinja").read_text()
# Loaded when they are installed, in this order: the Lua module needs the development kit before it.
MODULES = (
    "ndk_http_module.so",
    "ngx_http_brotli_filter_module.so",
    "ngx_http_lua_module.so",
    "ngx_http_modsecurity_module.so",
)
COMPRESSED = (
    "text/css text/plain text/javascript text/xml text/markdown application/javascript application/json "
    "application/ld+json application/manifest+json application/problem+json application/rss+xml application/wasm "
    "application/xml application/vnd.ms-fontobject font/ttf font/otf image/svg+xml image/x-icon"
)
SAFE_PATH = re.compile(r"/[A-Za-z0-9._/+@=-]*")
SAFE_BIND = re.compile(r"[0-9a-fA-F.:]+")
# Each request to an app takes two connections; the rest of the files is for the cache, logs and sockets.
SPARE_FILES = 600
MOST_CONNECTIONS = 16384


@dataclass(frozen=True, slots=True)
class Machine:
    """What the configuration depends on beside the settings."""

    modules_dir: Path
    modules: tuple[str, ...]
    """Files of the modules that are installed."""
    lua_dir: Path
    user: str = ""
    """Whom the workers run as; '' when nginx is not started by root."""
    workers: int = 2
    nofile: int = 20_000
    crs: Path | None = None
    """The OWASP Core Rule Set's folder of rules, when it is installed."""
    crs_setup: Path | None = None
    ipv6: bool = False
    """Whether this machine has IPv6 addresses: then 'everywhere' means them too."""

    @property
    def firewall(self) -> bool:
        """Whether requests can be inspected."""
        return self.crs is not None and "ngx_http_modsecurity_module.so" in self.modules


def nginx_conf(settings: Settings, machine: Machine, cache_mib: int = 1024) -> str:
    """The whole configuration. Raises Invalid for a home or address that nginx could not read back."""
    for path in (settings.home, machine.lua_dir):
        if not SAFE_PATH.fullmatch(str(path)):
            raise Invalid(f"'{path}' has characters that nginx cannot take", hint="use letters, digits, '.', '_', '-'")
    if not SAFE_BIND.fullmatch(settings.bind):
        raise Invalid(f"'{settings.bind}' is not an address", hint="set LEEWARD_BIND to an IPv4 or IPv6 address")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    text = environment.from_string(TEMPLATE).render(
        modules=[str(machine.modules_dir / name) for name in MODULES if name in machine.modules],
        brotli="ngx_http_brotli_filter_module.so" in machine.modules,
        firewall=machine.firewall,
        user=machine.user,
        workers=machine.workers,
        nofile=machine.nofile,
        connections=min(MOST_CONNECTIONS, max(64, machine.nofile - SPARE_FILES)),
        compressed=COMPRESSED,
        prefix=paths.prefix(settings),
        run=settings.run_dir,
        socket=paths.admin_socket(settings),
        api=settings.api_socket,
        certificate=paths.keys_dir(settings) / "wildcard.pem",
        certificate_key=paths.keys_dir(settings) / "wildcard.key",
        lua=machine.lua_dir,
        binds=_binds(settings.bind, machine.ipv6),
        http_port=settings.http_port,
        https_port=settings.https_port,
        wake_s=f"{settings.wake_s:g}",
        console=settings.console_host,
        console_url=settings.console_url,
        routes_mib=128,
        certs_mib=256,
        cache_mib=cache_mib,
    )
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def firewall_conf(machine: Machine) -> str:
    """The rules of the firewall; they block, but where a location says that they only write to the log."""
    # What the Core Rule Set 3.3 was seen to let pass: log4shell in a header, and template injection.
    extra = (
        'SecRule REQUEST_HEADERS|REQUEST_COOKIES|REQUEST_URI "@rx (?i)\\$\\{[^}]{0,40}(?:jndi|\\$\\{)" '
        "\"id:1001,phase:1,deny,status:403,log,t:none,t:urlDecodeUni,msg:'JNDI lookup'\"",
        'SecRule ARGS "@rx \\{\\{.{0,100}[*+./(|].{0,100}\\}\\}" '
        "\"id:1002,phase:2,deny,status:403,log,t:none,t:urlDecodeUni,msg:'Template expression'\"",
    )
    return "\n".join(
        (
            "SecRuleEngine On",
            "SecRequestBodyAccess On",
            "SecResponseBodyAccess Off",
            "SecRequestBodyLimit 33554432",
            "SecRequestBodyNoFilesLimit 1048576",
            "SecRequestBodyLimitAction ProcessPartial",
            "SecPcreMatchLimit 100000",
            "SecPcreMatchLimitRecursion 100000",
            "SecArgumentSeparator &",
            "SecCookieFormat 0",
            "SecAuditEngine Off",
            'SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" '
            '"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"',
            'SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z.-]+\\+)?json" '
            '"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"',
            *((f"Include {machine.crs_setup}",) if machine.crs_setup else ()),
            f"Include {machine.crs}/*.conf",
            *extra,
            "",
        )
    )


def _binds(address: str, ipv6: bool) -> tuple[str, ...]:
    """Where to listen: `*.localhost` resolves to ::1 before 127.0.0.1, so that everywhere means both families."""
    if address == "0.0.0.0":
        return ("0.0.0.0", "[::]") if ipv6 else ("0.0.0.0",)
    return (f"[{address}]" if ":" in address else address,)
