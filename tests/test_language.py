"""Words that the glossary has replaced do not come back."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What is not written, and what is written instead. docs/glossary.md explains the terms.
REPLACED = {
    r"\babilit(y|ies)\b": "capability",
    r"\banew\b": "again",
    r"\basked for\b": "requested, given",
    r"\bbrought to\b": "converted to, resized to, normalised",
    r"\bcomes? to\b": "is, results in",
    r"\b(large|small) views?\b": "global view, local view",
    r"\bmakes of\b": "output for",
    r"\bnobody\b": "no process, nothing",
    r"\bshares? of\b": "fraction of",
    r"\btaken away\b": "removed",
    r"\bTell whether\b": "Return whether",
    r"\btold\b": "reported, passed, known",
    r"\bwidth of the (decoder|features?|heads?|hidden|predictor|projector|space)": "dimension",
}


def texts():
    """Code of the core and of the plugins, and the pages."""
    patterns = (
        *("lightly_core/**/*.py", "plugins/*/src/**/*.py", "docs/*.md"),
        *("*.md", "plugins/*/README.md"),
    )
    for pattern in patterns:
        for file in sorted(ROOT.glob(pattern)):
            if file.name != "glossary.md":
                yield file, file.read_text(encoding="utf-8")


def test_replaced_words_are_not_used():
    found = [
        f"{file.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}: "
        f"{match.group()!r}, write {better}"
        for file, text in texts()
        for pattern, better in REPLACED.items()
        for match in re.finditer(pattern, text)
    ]
    assert not found, "\n".join(found)


def test_the_glossary_has_the_terms_that_replaced_them():
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    for term in ("capability", "global view", "local view", "fraction", "dimension"):
        assert f"| {term}" in glossary
