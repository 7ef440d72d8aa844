"""`python -m connector` is `kis-bond`."""

import sys


def main() -> None:
    """Run one command. Ctrl-C ends it with 130, and during the imports already."""
    try:
        from connector.cli import main as run  # noqa: PLC0415 - it takes a second or two
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
