"""Runs ``python -m lightly_core.config.docs``."""

import sys

from lightly_core.config.docs.pages import main

if __name__ == "__main__":
    sys.exit(main())
