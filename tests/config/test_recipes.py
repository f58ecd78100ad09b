import sys

import pytest
from attrs import define, evolve

from lightly_core.config.auto.recipe import with_recipe
from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    RandomResizeArgs,
    SolarizeArgs,
)
from lightly_core.config.options.method import small_recipe
from lightly_core.config.options.optim import SGDArgs
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.options.short_runs import SHORT_RUN_IMAGES, SmallRecipe, short_adamw
from lightly_core.config.options.transform import (
    MultiCropTransformArgs,
    TransformArgs,
    with_smaller_local,
)
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import get_plugins

SMALL = SmallRecipe(
    optimizer="sgd",
    optimizers={"sgd": SGDArgs(lr=0.25)},
    method_args={"temperature": 0.3},
    min_scale=0.4,
)


@pytest.fixture
def short_runs(toy_config, monkeypatch):
    """Give the method values for short runs."""
    monkeypatch.setattr(toy_config, "small", SMALL, raising=False)


def values(result):
    scale = result.transform.random_resize.min_scale
    return result.run.recipe, result.optimizer_name, result.method.temperature, scale


#: Epochs of 1,000 images from which a run is long.
LIMIT = SHORT_RUN_IMAGES // 1000
PAPER, OTHER = ("paper", "adamw", 0.1, 0.2), ("small", "sgd", 0.3, 0.4)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(LIMIT - 1, OTHER), (LIMIT, PAPER)],
)
def test_auto_takes_the_number_of_images_seen(resolved, epochs, expected):
    result = resolved(f"epochs={epochs}", images=1000)
    assert values(result) == expected
    assert f"{epochs * 1000:,} images" in result.as_dict()["derived"]["recipe"]["reason"]
    assert result.run.optim == result.optimizer_name


@pytest.mark.usefixtures("short_runs")
def test_a_limit_of_steps_makes_a_run_short(resolved):
    assert values(resolved(trainer_args={"max_steps": 100})) == OTHER
    assert values(resolved("epochs=3000", trainer_args={"max_steps": -1})) == PAPER


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize(("recipe", "expected"), [("paper", PAPER), ("small", OTHER)])
def test_a_recipe_that_is_asked_for_is_taken_at_any_length(resolved, recipe, expected):
    for epochs in (1, 10_000):
        assert values(resolved(f"recipe={recipe}", f"epochs={epochs}")) == expected


@pytest.mark.usefixtures("short_runs")
def test_settings_of_the_user_override_both_recipes(resolved):
    given = ("optim=sgd", "optim_args.momentum=0.5", "method_args.temperature=0.7")
    result = resolved(*given, "transform_args.random_resize.min_scale=0.6", "epochs=1")
    assert values(result) == ("small", "sgd", 0.7, 0.6)
    assert (result.optimizer.momentum, result.optimizer.lr) == (0.5, 0.25)


@pytest.mark.usefixtures("short_runs")
def test_options_of_an_optimizer_without_its_name_are_for_that_of_the_paper(resolved):
    result = resolved("optim_args.lr=0.125", "epochs=1")
    assert values(result)[:3] == ("small", "adamw", 0.3)
    assert result.optimizer.lr == 0.125


@pytest.mark.usefixtures("short_runs")
def test_auto_takes_the_paper_where_settings_do_not_fit_the_other_values(
    load, resolved, toy_config, monkeypatch
):
    @define(frozen=True, kw_only=True)
    class Strict(toy_config):
        small = SMALL

        def __attrs_post_init__(self):
            if (self.temperature, self.teacher) == (0.3, "toy/b"):
                raise ValueError("this teacher needs another temperature")

    monkeypatch.setattr(sys.modules["toy_plugin"], "ToyConfig", Strict)
    assert values(resolved("epochs=1")) == OTHER
    assert values(resolved("epochs=1", "method_args.teacher=toy/b")) == PAPER
    with pytest.raises(ConfigError, match="needs another temperature"):
        load("recipe=small", "method_args.teacher=toy/b")


def test_a_method_without_values_for_short_runs(resolved, problems):
    assert values(resolved("epochs=1")) == PAPER
    (problem,) = problems("recipe=small")
    assert problem.startswith("config.recipe: got 'small', but 'toy' has no values for short runs")


def test_values_for_short_runs_are_not_inherited(toy_config, monkeypatch):
    monkeypatch.setattr(toy_config, "small", SMALL, raising=False)

    @define(frozen=True, kw_only=True)
    class Derived(toy_config):
        pass

    assert small_recipe(toy_config) is SMALL
    assert small_recipe(Derived) is None


def test_small_views_keep_what_few_pixels_have():
    paper = MultiCropTransformArgs(
        random_resize=RandomResizeArgs(min_scale=0.08),
        color_jitter=ColorJitterArgs(strength=1.0),
        gaussian_blur=GaussianBlurArgs(prob=1.0),
        global_view_1=GlobalView1Args(solarize=SolarizeArgs(prob=0.2)),
        local_view=LocalViewArgs(num_views=6, view_size=96),
    )
    *views, first_local, _ = SmallRecipe().views(paper, (32, 48)).view_specs()
    assert len(views) == 2
    assert first_local.size == (16, 24)
    for view in (*views, first_local):
        assert view.gaussian_blur is view.solarize is None
        assert view.color_jitter == evolve(paper.color_jitter, strength=0.5)
    assert views[0].random_resize.min_scale == 0.2
    large = SmallRecipe(min_scale=None, strength=None).views(paper, 224)
    assert large == paper


@pytest.mark.parametrize(
    ("local", "size", "expected"),
    [
        (96, (224, 224), 96),  # as published, not (96, 96)
        (96, (64, 128), (32, 48)),  # 96 * 64 / 224 is 27, 96 * 128 / 224 is 55
        (98, (112, 112), (56, 56)),  # 3.5 patches of 14 pixels
        (96, (16, 16), (16, 16)),  # not less than a patch
        (96, (448, 448), 96),  # larger global views leave them as they are
        (10, (112, 112), (5, 5)),
    ],
)
def test_local_views_of_a_paper_are_as_small_beside_smaller_global_ones(local, size, expected):
    published = MultiCropTransformArgs(
        image_size=224, local_view=LocalViewArgs(num_views=6, view_size=local)
    )
    found = with_smaller_local(published, size)
    assert found.local_view == evolve(published.local_view, view_size=expected)
    assert evolve(found, local_view=published.local_view) == published


def test_sizes_of_the_user_and_views_without_local_ones_stay():
    def views(**given):
        required = {"out": "out", "data": "images", "model": PythonObject(None), "epochs": 1}
        arguments = {**required, "method": "dino", "recipe": "paper"}
        arguments["transform_args"] = {"image_size": 32, **given}
        return load_settings(catalog=get_plugins().catalog, arguments=arguments).transform

    assert views().local_view.view_size == (16, 16)
    assert views(local_view={"view_size": 20}).local_view.view_size == 20
    assert views(local_view=None).local_view is None
    assert with_smaller_local(TransformArgs(), (32, 32)) == TransformArgs()


def test_the_rate_follows_the_root_of_the_batch(resolved, toy_config, monkeypatch):
    monkeypatch.setattr(
        toy_config, "small", SmallRecipe(optimizers={"adamw": short_adamw(0.004)}), raising=False
    )
    assert resolved("batch_size=32", "epochs=1").peak_lr == pytest.approx(0.002)


def test_long_runs_of_every_method_take_the_values_of_its_paper():
    catalog = get_plugins().catalog
    for record in catalog.records("method"):
        given = {"out": "out", "data": "images", "model": PythonObject(None), "method": record.name}
        settings = load_settings(catalog=catalog, arguments={**given, "epochs": 1})
        config = type(settings.method)
        for recipe, images in (("paper", 10), ("auto", SHORT_RUN_IMAGES)):
            run = evolve(settings.run, recipe=recipe)
            chosen, _ = with_recipe(evolve(settings, run=run), images)
            assert chosen.method == config(), record.name
            assert chosen.transform == config.default_transform(), record.name
            assert chosen.optimizer == config.default_optimizer(config.optimizer), record.name
