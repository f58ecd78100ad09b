import pytest

from lightly_mlflow.names import LONGEST_NAME, MetricNames, flat_params, legal_name


@pytest.mark.parametrize("name", ["train_loss", "knn/top1", "rank/rankme", "a b.c-d", "x/y/z"])
def test_names_that_mlflow_accepts_stay(name):
    assert legal_name(name) == name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("acc@1", "acc_1"),
        ("loss:a", "loss_a"),  # no colons on Windows
        ("/absolute", "absolute"),
        ("a//b", "a/b"),
        ("../up", "_/up"),
        ("é%", "é_"),
        ("", "_"),
        ("x" * 300, "x" * LONGEST_NAME),
    ],
)
def test_other_names_are_mapped_to_what_mlflow_itself_accepts(name, legal):
    from mlflow.utils.validation import _validate_metric_name

    assert legal_name(name) == legal
    _validate_metric_name(legal)


def test_two_metrics_never_share_a_name_and_each_change_is_reported_once(caplog):
    names = MetricNames("run1/")
    assert [names(name) for name in ("acc@1", "acc_1", "acc@1", "acc%1", "lr")] == [
        *("run1/acc_1", "run1/acc_1_2", "run1/acc_1", "run1/acc_1_3", "run1/lr")
    ]
    assert [record.args for record in caplog.records] == [
        ("run1/acc@1", "run1/acc_1"),
        ("run1/acc_1", "run1/acc_1_2"),
        ("run1/acc%1", "run1/acc_1_3"),
    ]


def test_settings_become_flat_parameters():
    config = {
        "seed": None,
        "optim_args": {"lr": 1e-3, "betas": [0.9, 0.999], "schedule": {"name": "cosine"}},
        "transform_args": {},
        "data": "x" * 7000,
    }
    params = flat_params(config)
    assert params.pop("data") == "x" * 5997 + "..."
    assert params == {
        "seed": "None",
        "optim_args.lr": "0.001",
        "optim_args.betas": "[0.9, 0.999]",
        "optim_args.schedule.name": "cosine",
        "transform_args": "{}",
    }
