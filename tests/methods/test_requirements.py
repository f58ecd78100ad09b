"""What a method requires is refused where it is missing, before the method is built."""

import pytest
from attrs import define

from lightly_core.cli.main import main
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.requires import Requires, at_least, bounds_text, exactly
from lightly_core.contracts import Method, RunContext
from lightly_core.errors import ConfigError, MissingCapabilityError
from lightly_core.methods.requirements import build_method
from lightly_core.testing import TinyConv, TinyTokens


@define(frozen=True, kw_only=True)
class GlowConfig(MethodConfig):
    needs: Requires

    def requirements(self):
        return self.needs


class Glow(Method):
    def build(self):
        self.built = True

    def training_step(self, batch, step):
        raise NotImplementedError


def build(needs, wrapper=TinyConv, **facts):
    defaults = {"dataset_size": 80, "global_batch_size": 8, "total_steps": 9, "steps_per_epoch": 3}
    context = RunContext(**{**defaults, "image_size": (32, 32), **facts})
    return build_method(Glow, GlowConfig(needs=needs), wrapper(), context)


FITTING = [
    (Requires(global_views=exactly(2)), {"num_views": 2}),
    (Requires(global_views=at_least(2)), {"num_views": 5}),
    (Requires(images=2), {"global_batch_size": 2, "world_size": 2}),
    (Requires(images_per_process=2), {"global_batch_size": 8, "world_size": 4}),
    (Requires(capability="tokens"), {"wrapper": TinyTokens, "image_size": (30, 30)}),
    (Requires(whole_patches=True), {"wrapper": TinyTokens, "image_size": (32, 8)}),
]


@pytest.mark.parametrize(("needs", "facts"), FITTING)
def test_what_fits_is_built(needs, facts):
    assert build(needs, **facts).built


MISSING = [
    (Requires(global_views=exactly(2)), {"num_views": 3}, "num_views: .*takes 2 .*got 3"),
    (Requires(global_views=at_least(2)), {"num_views": 1}, "takes at least 2 global views, got 1"),
    (Requires(global_views=(2, 4)), {"num_views": 5}, "takes 2 to 4 global views, got 5"),
    (Requires(images=2), {"global_batch_size": 1}, "at least 2 images .* 1 process, got 1"),
    (
        Requires(images_per_process=2),
        {"global_batch_size": 4, "world_size": 4},
        "config.batch_size: method 'glow' needs at least 8 images .* with 4 processes, got 4",
    ),
    (
        Requires(whole_patches=True),
        {"wrapper": TinyTokens, "image_size": (30, 47)},
        "patches of 8, .*image_size=32 x 48",
    ),
]


@pytest.mark.parametrize(("needs", "facts", "message"), MISSING)
def test_what_is_missing_is_refused(needs, facts, message):
    with pytest.raises(ConfigError, match=message):
        build(needs, **facts)


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        build(Requires(global_views=exactly(2), images=2), num_views=1, global_batch_size=1)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("needs", [Requires(capability="tokens"), Requires(whole_patches=True)])
def test_a_backbone_without_the_capability_is_refused_with_models_that_have_it(needs):
    with pytest.raises(MissingCapabilityError, match=r"(?s)method 'glow' needs .*timm/vit"):
        build(needs)


def test_the_option_that_needs_a_capability_is_named():
    needs = Requires(capability="multi_scale", needed_by="method_args.pyramid=true")
    with pytest.raises(MissingCapabilityError, match=r"^method_args\.pyramid=true needs"):
        build(needs)


def test_the_name_is_that_of_the_record():
    with pytest.raises(ConfigError, match="method 'acme-glow' needs"):
        build(Requires(images=9), method_name="acme-glow")


@pytest.mark.parametrize(
    ("local", "allowed", "problems"), [(0, False, 0), (6, True, 0), (6, False, 1)]
)
def test_local_views_are_refused_where_they_have_no_use(local, allowed, problems):
    requires = Requires(local_views=allowed)
    assert len(list(requires.view_problems("glow", 2, local))) == problems


@pytest.mark.parametrize(
    ("bounds", "text"), [(exactly(1), "1"), (at_least(2), "at least 2"), ((2, 4), "2 to 4")]
)
def test_bounds_read_as_words(bounds, text):
    assert bounds_text(bounds) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("method=mae",), "method 'mae' needs a model with patch tokens"),
        (("method=simclr", "batch_size=1"), "method 'simclr' needs at least 2 images in a batch"),
        (("method=mae", "transform_args.num_views=2"), "method 'mae' takes 1 global view, got 2"),
    ],
)
def test_a_dry_run_refuses_what_a_run_refuses(tmp_path, capsys, settings, message):
    common = (f"out={tmp_path / 'out'}", "data=builtin:digits", "model=torchvision/resnet18")
    for option in (["--dry-run"], []):
        assert main(["run", *option, *common, *settings]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
