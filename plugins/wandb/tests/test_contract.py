from lightly_core.testing import (
    logger_checks,
    parametrize_checks,
    plugin_checks,
    without_server,
)
from lightly_wandb.config import WandbArgs
from lightly_wandb.logger import WandbLogger


def build(folder, resume_step=None):
    return without_server(WandbLogger)(WandbArgs(log_model=True), folder, resume_step)


@parametrize_checks([*plugin_checks("wandb"), *logger_checks(build, build)])
def test_contract(check):
    check()
