"""Speed, side by side with peers in the same minutes on the same machine: `nox -s bench`.

=============  ================================================================================
`rows/`        what is measured, and the goal of each row
`row`          the classes of a row
`measure`      runs the programs of a row in turn
`page`         writes docs/performance.md
`photos`       photographs of three sizes, made of scikit-learn's
`programs/`    each measures one thing and prints it as a line of JSON
=============  ================================================================================

Peers are installed from the index into an environment of their own and are only called. Times are
CPU time of one core. They are compared as ratios within a row, since machines differ.
"""
