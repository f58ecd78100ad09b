"""The blocks of code of a Markdown page, and the commands in them."""

import re
import shlex
from typing import NamedTuple


class Block(NamedTuple):
    """A block of code.

    Attributes:
        language: Word after the fence.
        code: Text between the fences.
        before: The last paragraph before it, in one line.
    """

    language: str
    code: str
    before: str


def blocks_of(text):
    """Return the blocks of a page in their order."""
    found = []
    pattern = re.compile(r"^([ ]*)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
    for match in pattern.finditer(text):
        paragraph = text[: match.start()].rstrip().rpartition("\n\n")[2]
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        found.append(Block(match[2], code, " ".join(paragraph.split())))
    return found


def commands_of(code):
    """Yield the words of each command of a block for a shell."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words
