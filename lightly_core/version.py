"""The version of lightly-core and of all plugins in this repository.

The build backend reads it from this file for every distribution. The file imports nothing, so any
module may import it.
"""

__version__ = "0.2.0"
