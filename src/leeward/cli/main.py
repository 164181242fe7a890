"""Collect the commands of `lee`."""


def run() -> None:
    """Run the command line. Exit codes: 0 done, 1 it failed, 2 the request is wrong, 3 no platform."""
    raise SystemExit(2)
