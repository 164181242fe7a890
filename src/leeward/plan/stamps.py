"""Turn time stamps with nanoseconds into Unix seconds and back. Pure."""

from datetime import UTC, datetime


def unix_seconds(text: str) -> float:
    """Unix seconds of '2026-01-02T03:04:05.678901234Z'; 0.0 for none."""
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z")
    try:
        at = datetime.fromisoformat(f"{whole.rstrip('Z')}+00:00").timestamp()
    except ValueError:
        return 0.0
    return at + (float(f"0.{digits}") if digits.isdigit() else 0.0)


def stamp(seconds: float) -> str:
    """The time stamp of the whole second in which a moment lies."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
