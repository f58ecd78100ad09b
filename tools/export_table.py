"""Export one model of each library in each format, and load it where our packages are missing.

``python tools/export_table.py`` writes the table into `docs/exporting.md`. One process writes all
files. A second one refuses to import `lightly_core` and its plugins, runs the printed code of each
file, and compares what it computes with what the network computed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lightly_core.config.options.export import ExportConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts.format import ExportedNetwork, ExportFormat
from lightly_core.contracts.outputs import ModuleOutputs, outputs_of
from lightly_core.converting.network import open_network
from lightly_core.converting.run import load_format, write_network
from lightly_core.errors import LightlyError
from lightly_core.exporting.comparison import random_images
from lightly_core.exporting.formats.huggingface import HuggingFace
from lightly_core.models.custom import wrap
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.records import FormatRecord

PAGE = Path(__file__).parents[1] / "docs" / "exporting.md"
START, END = "<!-- table of tools/export_table.py -->\n", "<!-- end of table -->"

#: Name, image size and model of each row. None: the module of `OWN`.
MODELS: dict[str, tuple[int, str | None]] = {
    "torchvision/resnet18": (64, "torchvision/resnet18"),
    "timm/test_vit": (160, "timm/test_vit"),
    "dinov2/vits14": (56, "dinov2/vits14-notpretrained"),
    "dinov3/vits16": (64, "dinov3/vits16-notpretrained"),
    "ultralytics/yolov8n.yaml": (64, "ultralytics/yolov8n.yaml"),
    "a module of your own": (64, None),
}

#: The module of a user, in a file that the second process finds.
OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))
"""

#: Runs in a process of its own; reads ``jobs.json`` of the folder and writes ``found.json``.
FOREIGN = """
import json, sys, traceback

class Refusal:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root.startswith("lightly_") or root == "lightly":
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Refusal())
sys.path.insert(0, sys.argv[1])
import torch

def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for entry in value for tensor in tensors(entry)]
    return []

def compute(kind, model, images):
    if kind == "onnx":
        return [torch.from_numpy(array) for array in model(images.numpy())]
    if kind == "transformers":
        found = model.eval()(pixel_values=images)
        return [found.last_hidden_state, found.pooler_output.flatten(1)]
    if kind == "facade":  # The object of ultralytics around the module.
        model = model.model.float()
    try:
        model.eval()
    except NotImplementedError:
        pass  # A program of torch.export has no modes.
    return tensors(model(images))

found = {}
with open(sys.argv[1] + "/jobs.json") as file:
    jobs = json.load(file)
for job in jobs:
    data = torch.load(job["data"])
    scope = {"__name__": "__main__"}
    if job["own"]:
        from own import Net
        scope["model"] = Net()
    try:
        exec(compile(job["code"], job["key"], "exec"), scope)
        with torch.no_grad():
            got = compute(job["kind"], scope["model"], data["images"])
        assert [t.shape for t in got] == [t.shape for t in data["expected"]], "other shapes"
        pairs = [(a, b) for a, b in zip(got, data["expected"]) if b.numel()]
        found[job["key"]] = max(
            ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item() for a, b in pairs
        )
    except Exception:
        found[job["key"]] = traceback.format_exc()[-1500:]
assert not [name for name in sys.modules if name.startswith("lightly_")]
with open(sys.argv[1] + "/found.json", "w") as file:
    json.dump(found, file)
"""


def trained(network: ExportedNetwork) -> None:
    """Give a network weights and statistics that no new one has."""
    generator = torch.Generator().manual_seed(1)
    module = network.embedding
    assert isinstance(module, nn.Module)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and "periods" not in name:
            noise = torch.randn(tensor.shape, generator=generator)
            scale = tensor.std().item() if tensor.numel() > 1 else 0.0
            # Layer scales start so small that errors in a block would not be seen.
            tensor += (0.1 * scale + 0.02) * (noise.abs() if "var" in name else noise)


def networks(own: type[nn.Module], names: list[str]) -> dict[str, ExportedNetwork]:
    """Open the models, with changed weights."""
    found = {}
    for name in names:
        size, model = MODELS[name]
        source = PythonObject(wrap(own(), features="features")) if model is None else model
        config = ExportConfig(out="unused", model=source, image_size=size)
        network = open_network(config, "model", get_plugins().catalog)
        trained(network)
        found[name] = network
    return found


def kind_of(record: FormatRecord, network: ExportedNetwork) -> str:
    """Return how the second process computes with ``model``."""
    if record.name in ("onnx", "huggingface"):
        return {"onnx": "onnx", "huggingface": "transformers"}[record.name]
    is_yolo = (network.name or "").startswith("ultralytics/")
    return "facade" if is_yolo and record.name in ("package_default", "ultralytics") else "module"


def expected(
    export: ExportFormat, network: ExportedNetwork, images: torch.Tensor
) -> list[torch.Tensor]:
    """Return what a loaded file must compute."""
    compute = export.expected(network) if isinstance(export, HuggingFace) else outputs_of(network)
    if network.part == "model" and not isinstance(export, HuggingFace):
        compute = ModuleOutputs(network.module).eval()
    with torch.no_grad():
        return [tensor.clone() for tensor in compute(images)]


def own_module(folder: Path) -> type[nn.Module]:
    """Write and import the class of `OWN`, under the name that pickles of it hold."""
    file = folder / "own.py"
    file.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own"] = module
    spec.loader.exec_module(module)
    found: type[nn.Module] = module.Net
    return found


def export_all(folder: Path, names: list[str]) -> tuple[dict[str, str], list[dict[str, object]]]:
    """Write all files.

    Returns:
        The reasons of the formats that refuse a model, by key, and the jobs of the second process.
    """
    reasons: dict[str, str] = {}
    jobs: list[dict[str, object]] = []
    for name, opened in networks(own_module(folder), names).items():
        for record in get_plugins().catalog.records("format"):
            key = f"{name}|{record.name}"
            place = folder / f"{len(jobs)}-{record.name}"
            network = replace(opened, part=record.parts[0])
            path = place / f"model{record.suffixes[0] if record.suffixes else ''}"
            export = load_format(record)
            try:
                if problem := export.problem(network):
                    reasons[key] = problem
                    continue
                result = write_network(network, export, record, path)
            except LightlyError as error:
                reasons[key] = str(error).partition("\n")[0]
                continue
            images = random_images(network, 2, network.preprocessing.size)
            data = folder / f"{len(jobs)}.pt"
            content = {"images": images, "expected": expected(export, network, images)}
            torch.save(content, data)
            jobs.append(
                {
                    "key": key,
                    "code": result.snippet,
                    "kind": kind_of(record, network),
                    "own": MODELS[name][1] is None,
                    "data": str(data),
                }
            )
    return reasons, jobs


def compare(names: list[str]) -> dict[str, float | str]:
    """Return the largest difference of each model and format, or why there is none.

    Raises:
        RuntimeError: The code of a file failed in the second process.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reasons, jobs = export_all(folder, names)
        (folder / "jobs.json").write_text(json.dumps(jobs))
        subprocess.run([sys.executable, "-c", FOREIGN, str(folder)], check=True)
        found: dict[str, float | str] = json.loads((folder / "found.json").read_text())
    failed = {key: text for key, text in found.items() if isinstance(text, str)}
    if failed:
        raise RuntimeError("\n\n".join(f"{key}:\n{text}" for key, text in failed.items()))
    return {**found, **reasons}


def table(found: dict[str, float | str], names: list[str]) -> str:
    """Return the table and the reasons as Markdown."""
    formats = list(dict.fromkeys(key.partition("|")[2] for key in found))
    formats.sort()
    version = torch.__version__.partition("+")[0]
    lines = [
        "The largest difference between what the printed code computes, in a process without the "
        "packages of this project, and",
        "what the network computes, as a fraction of the largest value. The weights are random "
        "numbers. `python tools/export_table.py`",
        f"measured it with torch {version}.",
        "",
        f"| format | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
    ]
    notes: list[str] = []
    for name in formats:
        cells = []
        for model in names:
            value = found[f"{model}|{name}"]
            if isinstance(value, str):
                if value not in notes:
                    notes.append(value)
                cells.append(f"no ({notes.index(value) + 1})")
            else:
                cells.append("equal" if value == 0 else f"{value:.0e}")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    lines.append("")
    lines += [f"{number}. {note}." for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the page, or print it."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the table, change no file")
    parser.add_argument("--only", nargs="*", default=list(MODELS), help="models of the table")
    arguments = parser.parse_args()
    text = table(compare(arguments.only), arguments.only)
    if arguments.print or arguments.only != list(MODELS):
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    PAGE.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
