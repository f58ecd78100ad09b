import re
from pathlib import Path

import pytest
from setting_places import without_places

from lightly_core.benchmarking.suite import load_suite
from lightly_core.errors import ConfigError

SHIPPED = sorted((Path(__file__).parents[2] / "examples/benchmarks").glob("*.toml"))
NO_ROWS = """
name = "tiny"
data.train = "builtin:digits"
run = {{ model = "timm/test_resnet", epochs = 2 }}
"""


def problems_of(load, *pairs, **how):
    with pytest.raises(ConfigError) as caught:
        load(*pairs, **how)
    return caught.value.problems


def test_a_row_for_each_size_in_the_order_of_the_file(load):
    suite = load()
    assert [row.name for row in suite.rows] == ["simclr-b64", "simclr-b128-e2"]
    assert [row.settings.run.batch_size for row in suite.rows] == [64, 128]
    assert [row.settings.run.epochs for row in suite.rows] == [4, 2]
    assert suite.rows[0].published.knn_top1 == 0.5
    assert suite.rows[1].published is None


def test_rows_are_laid_over_overrides_and_these_over_run(load):
    text = """
optim_args.lr = 0.3
[overrides.simclr]
optim_args = {{ lr = 0.2, weight_decay = 0.5 }}
optim = "sgd"
""".format()
    suite = load("run.optim_args.momentum=0.1", text=text)
    options = suite.rows[0].settings.optimizer
    assert (options.lr, options.weight_decay, options.momentum) == (0.3, 0.5, 0.1)


def test_the_command_line_wins_over_rows(load):
    suite = load("run.epochs=1", "evaluate.knn.k=3")
    assert [row.settings.run.epochs for row in suite.rows] == [1, 1]
    assert [row.knn_k for row in suite.rows] == [3, 3]


def test_the_knn_while_training_compares_as_the_one_afterwards(load):
    suite = load("evaluate.knn={k = [7, 20], temperature = 0.2}")
    knn = suite.rows[0].settings.callbacks.knn
    assert (knn.k, knn.temperature) == (7, 0.2)
    own = load("evaluate.knn.k=7", "run.callbacks.knn.k=9").rows[0].settings.callbacks.knn
    assert own.k == 9
    assert load("run.callbacks.knn=none").rows[0].settings.callbacks.knn is None


def test_an_evaluation_uses_the_device_and_workers_of_its_training(load):
    settings = ("run.accelerator=cpu", "run.num_workers=3")
    found = load(*settings, "evaluate.seed=5").rows[0].evaluate
    assert found == {"seed": 5, "accelerator": "cpu", "num_workers": 3}
    assert load(*settings, "evaluate.num_workers=1").rows[0].evaluate["num_workers"] == 1


def test_a_row_or_a_suite_may_do_without_an_evaluation(load):
    rows = load(text='[[rows]]\nmethod = "simclr"\nevaluate = false\n').rows
    assert [row.evaluate is None for row in rows] == [False, False, True]
    assert [row.knn_k is None for row in rows] == [False, False, True]
    assert all(row.evaluate is None for row in load("evaluate=false").rows)


@pytest.mark.slow
def test_all_methods_get_a_row_without_aliases_and_without_those_left_out(load, catalog):
    text = 'methods = "all"\nskip = { distillationv1 = "needs a teacher" }\n'
    suite = load(whole=text.replace("{", "{{").replace("}", "}}") + NO_ROWS)
    known = {record.name for record in catalog.records("method") if record.alias_of is None}
    assert {row.method for row in suite.rows} == known - {"distillationv1"}
    assert suite.skipped == {"distillationv1": "needs a teacher"}


def test_a_method_with_a_row_of_its_own_gets_no_second_one(load):
    whole = 'methods = ["distillationv1", "simclr"]\n' + NO_ROWS + '[[rows]]\nmethod = "simclr"\n'
    assert [row.name for row in load(whole=whole).rows] == ["simclr", "distillationv1"]


def test_methods_that_need_tokens_get_their_own_backbone(load):
    text = """
methods = ["distillationv1", "simclr"]
token_methods = ["distillationv1"]
token_run = {{ model = "timm/test_vit" }}
"""
    models = {row.method: row.model for row in load(whole=text + NO_ROWS).rows}
    assert models == {"distillationv1": "timm/test_vit", "simclr": "timm/test_resnet"}


def test_only_picks_rows_by_name_and_by_method(load):
    assert load("only=simclr").chosen == {"simclr-b64", "simclr-b128-e2"}
    assert load("only=simclr-b64").chosen == {"simclr-b64"}
    (problem,) = problems_of(load, "only=simclr-b63")
    assert "did you mean 'simclr-b64'?" in problem


def test_mistakes_of_rows_that_are_not_to_be_run_do_not_stop_the_others(load):
    text = '[[rows]]\nmethod = "distillationv1"\nbatchsize = 3\n'
    suite = load("only=simclr", text=text)
    assert [row.method for row in suite.rows] == ["simclr", "simclr"]


def test_every_mistake_of_every_row_is_told_with_the_rows_that_have_it(load):
    text = """
batchsize = 3
[[rows]]
method = "simclrr"
[[rows]]
method = "distillationv1"
evaluate = { knn = { kk = 3 } }
"""
    found = problems_of(load, "run.seed=-1", text=text)
    rows = "rows 'simclr-b64', 'simclr-b128-e2'"
    for expected in (
        rf"{rows}: config \(from .*, line \d+\): unknown key 'batchsize'",
        r"row 'simclrr': config\.method \(from .*, line \d+\): ",
        r"row 'distillationv1': evaluate\.knn: unknown key 'kk'",
        r"all rows: config\.seed \(from 'run\.seed=-1'\): ",
    ):
        assert any(re.match(expected, problem) for problem in found), expected


@pytest.mark.parametrize(
    ("pairs", "text", "expected"),
    [
        (["run.out=x"], "", "all rows: 'out' cannot be set here"),
        (["run.resume_interrupted=true"], "", "'resume_interrupted' cannot be set here"),
        (["run.method=dino"], "", "'method' cannot be set here"),
        (["evaluate.model=x"], "", "'model' cannot be set here"),
        (["data.val=builtin:digits"], "", "config.val_data: got the same images as data"),
        (["data.train=no/such/place"], "", "suite.data.train: 'no/such/place' does not exist"),
        ([], '[[rows]]\nname = "a"\n', "suite.rows: row 2 has no method"),
        ([], '[[rows]]\nmethod = "simclr"\nreference = 84.7\n', "write 84.7 % as 0.847"),
        ([], '[[rows]]\nmethod = "simclr"\nname = "../up"\n', "must be a folder's name"),
        ([], '[[rows]]\nmethod = "simclr"\n[[rows]]\nmethod = "simclr"\n', "2 rows are called"),
    ],
)
def test_wrong_suites_are_refused(load, pairs, text, expected):
    found = map(without_places, problems_of(load, *pairs, text=text))
    assert any(expected in problem for problem in found)


def test_settings_of_methods_without_a_row_are_told_and_do_no_harm(load):
    suite = load(text="[overrides.simcrl]\n[overrides.simclr]\n")
    assert suite.unused == ("simcrl",)
    assert "simcrl" in suite.notes[-1]


def test_overrides_may_name_several_methods(load):
    text = 'methods = ["distillationv1", "simclr"]\n'
    over = '[overrides."simclr, distillationv1"]\nseed = 5\n[overrides.simclr]\nbatch_size = 7\n'
    suite = load(whole=text + NO_ROWS, text=over)
    seeds = {row.method: (row.settings.run.seed, row.settings.run.batch_size) for row in suite.rows}
    assert seeds == {"distillationv1": (5, 128), "simclr": (5, 7)}


def test_objects_of_python_cannot_go_to_another_process(catalog, suite_file):
    with pytest.raises(ConfigError, match="takes plain data only") as caught:
        load_suite(catalog=catalog, suite=suite_file(), arguments={"run": {"data": object()}})
    assert "all rows: data: " in str(caught.value)


def test_a_suite_without_rows_is_refused(load):
    assert "there is no row" in problems_of(load, whole=NO_ROWS)[0]


def test_the_folder_of_the_suite_can_stand_in_settings(load, tmp_path):
    text = 'method_args.teacher_weights = "{out}/simclr/run/file"\n'
    whole = NO_ROWS + '[[rows]]\nmethod = "distillationv1"\n'
    (row,) = load("out=here", whole=whole, text=text).rows
    assert row.settings.method.teacher_weights == "here/simclr/run/file"


def test_files_that_no_row_writes_have_to_be_there(load):
    whole = NO_ROWS + '[[rows]]\nmethod = "distillationv1"\n'
    with pytest.raises(ConfigError, match=r"'missing\.pt' does not exist"):
        load(whole=whole, text='method_args.teacher_weights = "missing.pt"\n')


@pytest.mark.slow
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_suites_are_right(file, catalog):
    suite = load_suite(catalog=catalog, suite=file, check_paths=False)
    assert suite.rows
    assert suite.name == file.stem


def test_suites_are_shipped():
    expected = {"smoke", "cifar10", "cifar10-small", "cifar10-tuned", "imagenette", "imagenet1k"}
    expected |= {"imagenet100", "imagenet100-tuned", "digits", "first-hour", "sweep"}
    assert {file.stem for file in SHIPPED} == expected
