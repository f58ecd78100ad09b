"""The lines of settings in TOML files, compared with those that are written beside them."""

import re
from pathlib import Path

import pytest

from lightly_core.config.reading.toml_lines import toml_lines
from lightly_core.config.reading.toml_parser import tomllib

ROOT = Path(__file__).parents[2]

#: Each comment is the name of what begins on its line.
TEXT = """\
out = "out"          # out
optim_args.lr = 0.1  # optim_args.lr
"data" = ['a', "b"]  # data
'val data' = 1979-05-27 07:32:00  # val data

# epochs = 3 is a comment
[ transform_args ]   # transform_args
image_size = [       # transform_args.image_size
    96,              # transform_args.image_size.0
    [1, 2],          # transform_args.image_size.1
]
random_flip = { horizontal_prob = 0.5, x = { y = 1.5 } }  # transform_args.random_flip
text = '''
[callbacks]
knn = 3
'''
other = "a # \\" [no]"  # transform_args.other
[transform_args.local_view]  # transform_args.local_view
"num.views" = 6      # transform_args.local_view.num.views

[[rows]]             # rows
method = "a"         # rows.0.method
[rows.run]           # rows.0.run
epochs = 3           # rows.0.run.epochs
[[rows]]             # rows.1
method = \"\"\"a\"\"\"   # rows.1.method
[[rows.sizes]]       # rows.1.sizes
epochs = 1           # rows.1.sizes.0.epochs
[[rows.sizes]]       # rows.1.sizes.1
"""


def test_keys_tables_and_members_of_lists_have_the_lines_on_which_they_begin():
    lines = {".".join(map(str, path)): line for path, line in toml_lines(TEXT).items()}
    written = {}
    for number, line in enumerate(TEXT.splitlines(), start=1):
        name = re.search(r"  # ([\w. ]+)$", line)
        if name:
            written[name[1]] = number
    assert len(written) == 21
    assert {name: lines.get(name) for name in written} == written
    inside = {name: line for name, line in lines.items() if "random_flip." in name}
    flip = written["transform_args.random_flip"]
    assert inside == dict.fromkeys(inside, flip)
    assert len(inside) == 3
    assert "callbacks" not in lines


def paths_of(value, above=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in items:
        yield (*above, key)
        if isinstance(member, (dict, list)):
            yield from paths_of(member, (*above, key))


@pytest.mark.parametrize("text", [TEXT, "", "a = 1", "a = [\n\n\n1]\r\nb.c = {}\r\n"])
def test_everything_that_the_parser_finds_has_a_line(text):
    assert set(toml_lines(text)) == set(paths_of(tomllib.loads(text)))


def test_every_file_of_the_repository_is_scanned():
    files = [*ROOT.glob("examples/**/*.toml"), *ROOT.glob("plugins/*/pyproject.toml")]
    assert len(files) > 10
    for file in files:
        text = file.read_text(encoding="utf-8")
        lines, written = toml_lines(text), text.splitlines()
        assert set(lines) == set(paths_of(tomllib.loads(text))), file
        for path, line in lines.items():
            name = path[-1] if isinstance(path[-1], str) else ""
            assert name in written[line - 1], (file, path)
