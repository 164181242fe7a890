"""Say in one sentence what a health check found, and what to do. Pure."""

from leeward.model.app import Health

_HINTS = {
    401: "let the health path answer without signing in, or set another 'health.path'",
    403: "let the health path answer without signing in, or set another 'health.path'",
    404: "set 'health.path' in leeward.yaml to a path that answers 200",
}


def answered(path: str, status: int, name: str) -> tuple[str, str]:
    """An answer that is not good; the check was made as a visitor of `name`."""
    refused = f"does it refuse unknown hosts? health checks say 'Host: {name}'"
    hint = refused if status == 400 else _HINTS.get(status, "its log says more: see `lee logs`")
    return f"answered GET {path} with {status}", hint


def late(health: Health) -> tuple[str, str]:
    """No answer in time."""
    return (
        f"did not answer GET {health.path} within {health.timeout:g} s",
        "let the health path answer without waiting for other services, or raise 'health.timeout'",
    )


def nothing_listens(port: int) -> tuple[str, str]:
    """Nobody at the door."""
    return (
        f"nothing listens on port {port}",
        "start a server on 0.0.0.0 and the port in the variable PORT; a process without a port is a worker: "
        "give it another name than 'web'",
    )


def broken(path: str, port: int, what: str = "") -> tuple[str, str]:
    """The connection ended in the middle."""
    return (
        f"broke the connection while it was asked for GET {path}",
        f"it must speak HTTP/1.1 on port {port}" + (f" ({what})" if what else ""),
    )


def not_http(port: int) -> tuple[str, str]:
    """Somebody answers in another language."""
    return f"did not answer in HTTP on port {port}", "it must speak HTTP/1.1, without TLS"
