"""The MLflow model of a run, loaded where nothing of ours is installed."""

import subprocess
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file

import lightly_core
from tools.loggers.runs import run_id_of

#: Loads the model in a process that refuses to import anything of ours.
_LOAD = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("lightly"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
import mlflow, torch
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pytorch.load_model(f"runs:/{sys.argv[2]}/model")
model.fc = torch.nn.Identity()
with torch.no_grad():
    torch.save(model.eval()(torch.load(sys.argv[3])), sys.argv[4])
"""


def model_problem(work: Path, uri: str) -> str:
    """Run with ``log_model``, load the model from the server, and compare its features.

    Args:
        work: A folder.
        uri: Address of the server.

    Returns:
        What is wrong; empty if the features are those of the exported file, to the last bit.
    """
    options = {"experiment_name": "model", "tracking_uri": uri, "log_model": True}
    result = lightly_core.pretrain(
        out=work / "model",
        data="builtin:digits",
        model="torchvision/resnet18",
        method="simclr",
        epochs=0,
        accelerator="cpu",
        loggers={"mlflow": options},
    )
    images, features = work / "images.pt", work / "features.pt"
    torch.save(torch.randn(4, 3, 64, 64), images)
    words = [uri, run_id_of(result.folder), str(images), str(features)]
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, *words], capture_output=True, text=True, cwd=work
    )
    if done.returncode != 0:
        return f"the model cannot be loaded: {done.stderr[-500:]}"
    model = torchvision.models.resnet18()
    model.load_state_dict(load_file(result.exported[1]))
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = model.eval()(torch.load(images))
    if not torch.equal(torch.load(features), expected):
        return "the features of the model differ from those of the exported file"
    return ""
