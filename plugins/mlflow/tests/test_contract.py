from lightly_core.testing import (
    logger_checks,
    parametrize_checks,
    plugin_checks,
    without_server,
)
from lightly_mlflow.config import MlflowArgs
from lightly_mlflow.logger import MlflowLogger


def build(folder, resume_step=None):
    return without_server(MlflowLogger)(MlflowArgs(), folder, resume_step)


@parametrize_checks([*plugin_checks("mlflow"), *logger_checks(build, build)])
def test_contract(check):
    check()
