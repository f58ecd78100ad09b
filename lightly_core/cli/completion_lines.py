"""Reads the line that is completed in bash, and writes candidates as each shell expects them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from lightly_core.cli.candidates import Candidate

#: Letters that bash needs no backslash for.
_PLAIN = re.compile(r"[\w@%+=:,./~-]", re.ASCII)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)


@frozen
class Line:
    """A command line up to the cursor, as bash reads it.

    Attributes:
        words: The words before the last one, without quotes; the first is the program.
        current: The last word, which may be empty.
        kept: Number of its letters that bash does not replace, as a separator follows them.
        quote: The quote that is open, or an empty string.
    """

    words: tuple[str, ...]
    current: str
    kept: int
    quote: str

    def replies(self, found: Sequence[Candidate]) -> Iterator[str]:
        """Yield the candidates without the letters that bash keeps, a space after whole words."""
        for candidate in found:
            text = candidate.text[self.kept :]
            if not self.quote:
                text = "".join(c if _PLAIN.match(c) or ord(c) > 127 else f"\\{c}" for c in text)
            yield f"{text}{self.quote} " if candidate.is_whole else text


def read_line(text: str, separators: str) -> Line:
    """Split a line up to the cursor.

    Args:
        text: The line.
        separators: Letters that bash takes as the end of a word, `COMP_WORDBREAKS`.
    """
    words: list[str] = []
    word, kept, quote, is_escaped, is_begun = "", 0, "", False, False
    for letter in text:
        if is_escaped or (quote and letter not in (quote, "\\")) or (quote == "'" != letter):
            word, is_escaped = word + letter, False
        elif letter == "\\":
            is_escaped = is_begun = True
        elif letter in "'\"":
            quote = "" if quote else letter
            kept, is_begun = len(word), True
        elif letter.isspace():
            if is_begun:
                words.append(word)
            word, kept, is_begun = "", 0, False
        else:
            word, is_begun = word + letter, True
            kept = len(word) if letter in separators else kept
    while words and _ASSIGNMENT.fullmatch(words[0]):
        del words[0]  # a variable of the program's environment
    return Line(tuple(words), word, kept, quote)


def shell_lines(found: Sequence[Candidate], shell: str) -> Iterator[str]:
    """Yield a line for each candidate: its text, a tab, its help.

    Args:
        found: The candidates.
        shell: "zsh", which needs a space after whole words, or "fish", which adds it.
    """
    for candidate in found:
        space = " " if candidate.is_whole and shell == "zsh" else ""
        help_ = f"\t{' '.join(candidate.help.split())}" if candidate.help else ""
        yield f"{candidate.text}{space}{help_}"
