"""`python -m lightly_core.cli` is the command `lightly`."""

import sys

from lightly_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
