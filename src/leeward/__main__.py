"""Start the `lee` command."""


def main() -> None:
    """Run the command line."""
    from leeward.cli.main import run

    run()


if __name__ == "__main__":
    main()
