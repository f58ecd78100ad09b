"""Short runs on few images: what the values for short runs gain over those of the papers.

``python -m tools.first_hour --data FOLDER --cases cifar5k`` runs the rows of
`examples/benchmarks/first-hour.toml` on small data sets and appends their results to
`lightly_core/advising/first-hour.csv`. ``--write`` makes the tables of the docs from that file.
FOLDER holds `cifar10.tar.gz` and `imagenette160.tar.gz`, archives of class folders.
"""
