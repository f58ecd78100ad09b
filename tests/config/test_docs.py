import inspect
import types
from pathlib import Path

import attrs

import lightly_core.config
from lightly_core.config.docs import method_settings, pages, tables
from lightly_core.config.docs.method_table import COSTS, methods_page, read_costs
from lightly_core.config.options.augmentations import ColorJitterArgs, GlobalView1Args
from lightly_core.config.options.fields import settings_fields
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.plugins.discovery import get_plugins

CONFIG = Path(lightly_core.config.__file__).parent


def test_the_help_names_every_setting_with_type_default_and_text():
    text = tables.settings_help()
    for field in settings_fields(RunConfig):
        assert f"  {field.name} (" in text
        assert field.metadata["help"] in " ".join(text.split())
    assert "  batch_size (int, default 128)\n" in text
    assert "  epochs (int or 'auto', default auto)\n" in text
    assert "  out (str, default required)" not in text
    assert "  out (str, required)\n" in text


def test_nested_groups_are_expanded_with_dots():
    text = tables.class_help(TransformArgs, "transform_args")
    assert "  transform_args.random_resize.min_scale (float, default 0.08)\n" in text
    assert "  transform_args.channel_drop (dict or None, default off)\n" in text
    assert "  transform_args.channel_drop.num_channels_keep (int, required)\n" in text


def test_a_word_in_place_of_a_group_is_shown_with_what_may_replace_it():
    text = tables.class_help(MultiCropTransformArgs, "transform_args")
    assert "global_view_1.color_jitter (dict, 'same' or None, default same)\n" in text
    assert "global_view_1.color_jitter.hue (float, default 0.2)\n" in text
    second = GlobalView1Args(color_jitter=ColorJitterArgs(hue=0.1), random_resize=None)
    text = tables.class_help(MultiCropTransformArgs(global_view_1=second), "transform_args")
    assert "global_view_1.color_jitter (dict, 'same' or None, default on)\n" in text
    assert "global_view_1.color_jitter.hue (float, default 0.1)\n" in text
    assert "global_view_1.random_resize (dict, 'same' or None, default off)\n" in text


def test_an_instance_shows_its_own_values():
    views = TransformArgs(color_jitter=ColorJitterArgs(strength=0.5), gaussian_blur=None)
    text = tables.class_help(views, "transform_args")
    assert "transform_args.color_jitter.strength (float, default 0.5)" in text
    assert "transform_args.gaussian_blur (dict or None, default off)" in text


def test_other_names_are_shown(toy_config):
    text = tables.class_help(toy_config, "method_args")
    assert "method_args.momentum_start (float or 'auto', default auto)\n" in text
    assert "first momentum; other names: teacher_momentum" in text


def test_tables_have_a_row_for_every_setting():
    rows = tables.class_table(RunConfig).splitlines()
    assert rows[0] == "| Name | Type | Default | Description |"
    names = [row.split("`")[1] for row in rows[2:]]
    assert [name for name in names if "." not in name] == [
        f.name for f in settings_fields(RunConfig)
    ]
    assert {"activation_checkpoint_args.enabled", "activation_checkpoint_args.every_n_blocks"} == {
        name for name in names if "." in name
    }
    assert all(row.count("|") - row.count("\\|") == 5 for row in rows)


def test_a_bar_in_a_text_ends_no_cell_of_a_table():
    @attrs.frozen(kw_only=True)
    class Args:
        side: str = attrs.field(default="a|b", metadata={"help": "left | right"})

    (row,) = tables.class_table(Args).splitlines()[2:]
    assert row == r"| `side` | str | `a\|b` | left \| right |"


def test_the_signature_is_that_of_the_settings():
    signature = pages.signature_of(RunConfig)
    assert list(signature.parameters) == [field.name for field in settings_fields(RunConfig)]
    parameters = signature.parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    assert required == ["out", "data", "model"]
    assert signature.parameters["method"].default == "distillation"


def test_the_generated_files_are_up_to_date(capsys):
    code = pages.main(["--check"])
    assert (code, capsys.readouterr().out) == (0, "")


def test_stale_files_are_named_and_only_then_written(tmp_path, capsys):
    (tmp_path / "lightly_core/config").mkdir(parents=True)
    assert pages.main([], tmp_path) == 0
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    markdown = ["docs/method-settings.md", "docs/methods.md", "docs/settings.md"]
    assert names == [*markdown, "lightly_core/config/docs/signature.py"]
    assert pages.main(["--check"], tmp_path) == 0
    files[0].unlink()
    files[3].write_text("# old")
    assert pages.main(["--check"], tmp_path) == 1
    out = capsys.readouterr().out
    assert [name for name in names if f"{name} is out of date" in out] == [names[0], names[3]]
    assert (files[0].exists(), files[3].read_text()) == (False, "# old")


def test_a_page_tells_what_a_method_changes(catalog, monkeypatch):
    plugins = types.SimpleNamespace(catalog=catalog)
    monkeypatch.setattr(method_settings, "get_plugins", lambda: plugins)
    section = method_settings.method_settings_page().partition("## `toy`")[2]
    assert "\n- Other names: `plaything`.\n" in section
    assert "\n- `optim=auto` is `adamw`.\n- `epochs=auto` aims at 1,000 steps.\n" in section
    assert "\n- Global views of an image: 2.\n" in section
    assert "| `method_args.temperature` | float | `0.1` | divisor of the similarities |" in section
    assert "| `optim` | `optim_args` |\n|---|---|\n| `adamw` | `lr=0.5` |\n\n" in section
    views = "| `transform_args` | Default |\n|---|---|\n| `random_resize.min_scale` | `0.2` |\n"
    assert section.endswith(views)


def test_every_method_of_the_repository_is_on_the_page():
    page = (CONFIG.parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
    for record in get_plugins().catalog.records("method"):
        assert record.alias_of is not None or f"| `{record.name}` | [" in page, record.name


def test_the_cost_of_every_method_has_been_measured():
    costs = read_costs(COSTS)
    records = get_plugins().catalog.records("method")
    for device in ("cpu", "cuda"):
        measured = {method for method, _, place in costs if place == device}
        missing = {record.name for record in records if record.alias_of is None} - measured
        assert not missing, f"run `python examples/method_costs.py NAME ... --device {device}`"


def test_costs_are_shown_relative_to_the_reference(tmp_path):
    file = tmp_path / "costs.csv"
    rows = [
        "method,backbone,device,seconds,mib",
        *("simclr,net,cpu,2.0,100", "byol,net,cpu,3.0,150", "dcl,net,cpu,1.0,50"),
        *("simclr,net,cuda,0.05,1000", "byol,net,cuda,0.10,3000", "nnclr,net,cuda,0.10,500"),
    ]
    file.write_text("\n".join(rows))
    page = methods_page(file)
    shown = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert "| 1.50 / 2.00 | 1.50 / 3.00 |" in shown["byol"]
    assert "| 0.50 / | 0.50 / |" in shown["dcl"]
    assert "| / 2.00 | / 0.50 |" in shown["nnclr"]
    assert "`net` 2 s and 100 MiB (32 images" in page
    assert "`net` 0.05 s and 1000 MiB (256 images" in page
