"""The sources of the documentation site."""

import re
from pathlib import Path

import pytest
from code_blocks import blocks_of, commands_of

from lightly_core.config.reading.load import load_settings
from lightly_core.plugins.discovery import get_plugins
from tools.site import stage
from tools.site.breaks import breakable
from tools.site.docstrings import explain, markdown
from tools.site.evidence import parity_of, results_of
from tools.site.layers import rows_of
from tools.site.markdown import anchors, change_links, links, tables
from tools.site.method_pages import method_pages

ROOT = Path(__file__).parents[2]

CHART = """flowchart TD
    cli["cli: the command"] --> api
    api["api"] --> engine["engine: a run"]
    cli --> engine
    engine --> data & models
    data["data"] --> parts
    models["models"]
    parts["parts"]
    subgraph distributions["plugins"]
        dino["lightly-dino"]
    end
    dino --> models
    data -. "strings" .-> distributions
"""


@pytest.fixture(scope="module")
def pages():
    return method_pages(ROOT)


def test_links_in_code_stay():
    text = "[a](b.md) `[c](d.md)` [`e`](f.md#g)\n```\n[h](i.md)\n```\n[j](k.md)\n"
    assert links(text) == ["b.md", "f.md#g", "k.md"]
    changed = change_links(text, lambda target: f"../{target}")
    assert changed == (
        "[a](../b.md) `[c](d.md)` [`e`](../f.md#g)\n```\n[h](i.md)\n```\n[j](../k.md)\n"
    )


def test_anchors_are_those_of_github():
    text = '# What "auto" means\n## `optim_args` of `adam`\n# 1, 2 and 3\n## A\n## A\n'
    expected = {"what-auto-means", "optim_args-of-adam", "1-2-and-3", "a", "a-1", "b"}
    assert anchors(f'{text}<a id="b"></a>\n') == expected


def test_a_table_knows_its_heading_and_caption():
    text = "# One\n\n**Small.** Words.\n\n| a | b \\| c |\n|---|---|\n| 1 | |\n\n"
    (table,) = tables(f"{text}- x\n\n  | d |\n  |---|\n")
    assert (table.heading, table.caption) == ("One", "Small")
    assert (table.head, table.rows) == (("a", "b \\| c"), (("1", ""),))


def test_a_flowchart_becomes_rows_in_which_imports_point_downwards():
    assert rows_of(CHART) == [
        ["lightly-dino"],
        ["cli: the command"],
        ["api"],
        ["engine: a run"],
        ["data", "models"],
        ["parts"],
    ]


def test_the_chart_of_the_architecture_has_every_package_once():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    (chart,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    names = [label.partition(":")[0] for row in rows_of(chart) for label in row]
    assert len(set(names)) == len(names)
    assert {"cli", "engine", "parts", "lightly-dino"} <= set(names)


def test_a_docstring_becomes_markdown():
    text = "Sum (https://example.org/a)::\n\n    a = b\n      + c\n\n"
    text += "See https://example.org/b. It is `x`."
    assert markdown(text) == (
        "Sum (<https://example.org/a>):\n\n```text\na = b\n  + c\n```\n\n"
        "See <https://example.org/b>. It is `x`."
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [("simclr", "nt_xent"), ("dclw", "decoupled"), ("distillationv1", "queue_kl")],
)
def test_the_formula_of_a_method_is_found_in_its_module_its_bases_and_what_it_imports(
    name, function
):
    record = get_plugins().catalog.get("method", name)
    assert "```text" in explain(record.target).formulas[function]


def test_differences_are_separated_from_the_description():
    explained = explain(get_plugins().catalog.get("method", "dino").target)
    assert explained.differences.startswith("Differs from the paper")
    assert "Differs" not in explained.about


def test_rows_about_a_method_and_no_other_are_found():
    assert [found.table.rows[0][0] for found in parity_of("dino", ROOT)] == ["dino", "dino"]
    for found in results_of("simclr", ROOT):
        assert not [row for row in found.table.rows if row[0] in ("`dcl`", "`dino`")]


@pytest.mark.slow
def test_every_method_has_a_page_with_all_its_parts(pages):
    records = get_plugins().catalog.records("method")
    assert set(pages) == {record.name for record in records if record.alias_of is None}
    parts = ("How it works", "Differences from the paper", "Cost", "Compared with a reference")
    for name, page in pages.items():
        for part in (*parts, "What it was seen to learn", "Options and defaults"):
            assert f"\n## {part}\n" in page, f"{name}: {part}"


def test_links_of_method_pages_lead_to_headings(pages):
    for name, page in pages.items():
        for target in links(page):
            path, _, anchor = target.partition("#")
            if ":" not in path:
                file = (ROOT / "docs/methods" / path).resolve()
                assert file.exists(), f"{name}: {target}"
                assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def test_the_command_of_each_method_page_is_valid(pages):
    catalog = get_plugins().catalog
    for name, page in pages.items():
        (block,) = [block for block in blocks_of(page) if block.language == "bash"]
        ((_, _, *pairs),) = commands_of(block.code)
        assert load_settings(catalog=catalog, pairs=pairs).run.method == name


def test_the_front_page_has_the_numbers_of_the_measurement():
    front = (ROOT / "tools/site/front.md").read_text(encoding="utf-8")
    section = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8").partition("## On a GPU")[2]
    shown = re.findall(r"--value: ([\d.]+)\".*?<b>([\d.]+) %", front)
    assert len(shown) == 4
    for value, text in shown:
        assert value == text
        assert f"| {text} % |" in section


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("docs/running.md", "running"),
        ("docs/model-coverage/timm.md", "model-coverage/timm"),
        ("plugins/dino/README.md", "plugins/dino"),
        ("CHANGELOG.md", "changelog"),
        ("README.md", "index"),
    ],
)
def test_pages_get_short_names(path, name):
    assert stage.page_name(path) == name


def test_a_page_is_staged_with_links_that_work_there(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "method_pages", lambda root: {"toy": "# toy\n[p](../parity.md#a)\n"})
    monkeypatch.setattr(stage, "reference_pages", lambda: {"reference/index": "# API\n"})
    monkeypatch.setattr(stage, "_FRONT", tmp_path / "front.md")
    (tmp_path / "front.md").write_text("# Front\n[r](a.md)\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "plugins/x").mkdir(parents=True)
    texts = {
        "docs/README.md": "# Docs\n\n## Reference\n\n- [A page](a.md): a page.\n",
        "docs/a.md": "# A\n[m](method-settings.md#toy) [x](../plugins/x/README.md#y)\n"
        "[l](../LICENSE) [docs/parity.md](parity.md#b)\n",
        "docs/parity.md": "# Par\n\nGenerated by `x` from\ny. Do not edit this page.\n\n## B\n",
        "docs/method-settings.md": "# Settings\n## `toy`\n",
        "plugins/x/README.md": "# X\n## Y\n[back](../../docs/a.md)\n",
        "LICENSE": "text",
    }
    for path, text in texts.items():
        (tmp_path / path).write_text(text)
    target = tmp_path / "staged"
    stage.Stage(tmp_path, target).write()
    text = (target / "a.md").read_text()
    assert text == (
        "# A\n[m](methods/toy.md) [x](plugins/x.md#y)\n[l](files/LICENSE) [Par](parity.md#b)\n"
    )
    assert (target / "parity.md").read_text() == "---\norphan: true\n---\n\n# Par\n\n\n## B\n"
    assert "[back](../a.md)" in (target / "plugins/x.md").read_text()
    assert "[p](../parity.md#a)" in (target / "methods/toy.md").read_text()
    assert (target / "files/LICENSE").read_text() == "text"
    assert "\nreference/index\nA page </a>\n" in (target / "index.md").read_text()


def test_long_names_in_tables_break_after_dots():
    code = '<code><span class="pre">{}</span></code>'
    name = "transform_args.random_flip.vertical_prob"
    broken = "transform_args.<wbr>random_flip.<wbr>vertical_prob"
    page = "<p>{0}</p><td>\n{0}</td><td>{1}</td>"
    before = page.format(code.format(name), code.format("a.b"))
    in_table = page.format(code.format(broken), code.format("a.b"))
    outside = f"<p>{code.format(name)}</p>"
    assert breakable(before) == outside + in_table.partition("</p>")[2]
