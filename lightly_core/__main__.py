"""``python -m lightly_core`` is the command `lightly`."""

from lightly_core.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
