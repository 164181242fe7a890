"""Start the `lee` command."""

import sys


def main() -> None:
    """Run the command line."""
    # httpx has a command line of its own, for which it imports rich, pygments and click: 35 ms of every command and
    # 5 MiB of the control plane for something that nobody here calls. It does without where the module is missing.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from leeward.cli.main import run

    run()


if __name__ == "__main__":
    main()
