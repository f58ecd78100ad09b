"""The export formats of the core. A plugin adds more with a `FormatRecord`."""
