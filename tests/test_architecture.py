"""The rules of the house, see docs/architecture.md."""

import ast
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from syntax import nodes_of

ROOT = Path(__file__).parents[1]
CORE = ROOT / "lightly_core"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
SOURCES = sorted([*CORE.rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py")])

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50  # without the docstring, which is long where shapes and errors are told
MAX_FILE_BYTES = 1_000_000

HEAVY = {
    "av",
    *("torch", "torchvision", "lightning", "pytorch_lightning", "timm", "ultralytics"),
    *("mlflow", "wandb", "numpy", "PIL", "cv2", "sklearn", "safetensors", "tensorboard"),
    *("webdataset", "datasets", "fsspec", "ray", "submitit"),
}


def module_name(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imported_names(file):
    """Full names of all modules that a file imports, also inside of functions."""
    names = []
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.append(str(node.module))
    return names


def repository_files():
    """Files that git tracks, and new ones that it does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip("not a git repository")
    files = [ROOT / name for name in result.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def test_rooms_import_in_one_direction():
    # In a process of its own: import-linter switches off all loggers that exist when it starts.
    command = [
        sys.executable, "-c",
        "from importlinter.cli import lint_imports; import sys; "
        "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_imports_the_package_above_it():
    # import-linter looks at the rooms inside, not at the package's own file.
    for file in CORE.rglob("*.py"):
        for node in nodes_of(file):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert "lightly_core" not in names, f"{file}: import lightly_core"
            if isinstance(node, ast.ImportFrom) and node.module == "lightly_core":
                rooms = {path.stem for path in CORE.iterdir()}
                own = [alias.name for alias in node.names if alias.name not in rooms]
                assert not own, f"{file}: from lightly_core import {', '.join(own)}"


def test_parts_need_torch_and_numpy_only():
    allowed = {"torch", "numpy", *sys.stdlib_module_names}
    for file in (CORE / "parts").rglob("*.py"):
        for name in imported_names(file):
            inside = name.startswith("lightly_core.parts")
            assert inside or name.partition(".")[0] in allowed, f"{file} imports {name}"


def test_core_imports_no_plugin():
    for file in CORE.rglob("*.py"):
        for name in imported_names(file):
            root = name.partition(".")[0]
            assert root == "lightly_core" or not root.startswith("lightly_"), f"{file}: {name}"


def test_plugins_import_only_plugins_that_they_require():
    for plugin in PLUGINS:
        own = {path.name for path in (plugin / "src").iterdir()}
        text = (plugin / "pyproject.toml").read_text()
        required = {name.replace("-", "_") for name in re.findall(r'"(lightly-[a-z0-9]+)>=', text)}
        for file in (plugin / "src").rglob("*.py"):
            for name in imported_names(file):
                root = name.partition(".")[0]
                assert root in own | required or not root.startswith("lightly_"), f"{file}: {name}"


def test_near_names_are_found_in_one_place_only():
    """`lightly_core.errors` decides which names are near, and how messages offer them."""
    users = {file for file in SOURCES if "difflib" in imported_names(file)}
    assert users == {CORE / "errors.py"}


def test_torch_writes_files_in_one_place_only():
    # See lightly_core/parts/files.py; to memory it may write anywhere.
    memory = {CORE / "testing/methods.py"}
    for file in set(SOURCES) - memory:
        saves = {"torch.save", "torch.jit.save", "torch.serialization.save"}
        called = [node.func for node in nodes_of(file) if isinstance(node, ast.Call)]
        called = [
            node for node in called if isinstance(node, ast.Attribute) and node.attr == "save"
        ]
        assert saves.isdisjoint(map(ast.unparse, called)), file


def light_modules():
    rooms = {room: sorted((CORE / room).rglob("*.py")) for room in ("config", "plugins", "cli")}
    groups = {
        "lightly_core": ["lightly_core", "lightly_core.api", "lightly_core.errors"],
        **{room: [module_name(file, ROOT) for file in files] for room, files in rooms.items()},
    }
    for plugin in PLUGINS:
        files = sorted((plugin / "src").rglob("*.py"))
        light = [file for file in files if file.stem == "plugin" or file.stem.endswith("config")]
        groups[f"plugin {plugin.name}"] = [module_name(file, plugin / "src") for file in light]
    # A `__main__` runs when imported.
    return {
        group: [name for name in names if not name.endswith("__main__")]
        for group, names in groups.items()
    }


#: Imports each group as the first of the package, and prints what heavy libraries that loads.
IMPORT_GROUPS = """
import importlib, json, sys
groups, heavy = json.loads(sys.argv[1])
found = {}
for group, modules in groups.items():
    for name in modules:
        importlib.import_module(name)
    found[group] = sorted(set(heavy) & set(sys.modules))
    for name in [name for name in sys.modules if name.partition(".")[0] in heavy
                 or name.startswith("lightly_")]:
        del sys.modules[name]
print(json.dumps(found))
"""


def test_light_modules_import_nothing_heavy():
    groups = light_modules()
    assert all(groups.values())
    command = [sys.executable, "-c", IMPORT_GROUPS, json.dumps([groups, sorted(HEAVY)])]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {group: [] for group in groups}


def too_long(file):
    """Return what is too long in a file: itself, or functions."""
    if (lines := len(file.read_text().splitlines())) > MAX_FILE_LINES:
        yield f"{file.relative_to(ROOT)} has {lines} lines"
    for node in nodes_of(file):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{file.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_files_and_functions_are_short():
    assert len(SOURCES) > 300
    problems = [problem for file in SOURCES for problem in too_long(file)]
    assert not problems, "\n".join(problems)


def test_requirements_name_the_core_and_every_plugin():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    plugins = [f"-e plugins/{plugin.name}" for plugin in PLUGINS]
    assert lines == [
        "-e .[benchmark,dicom,faiss,fsspec,heif,huggingface,onnx,optuna,parquet,tiff,video]",
        *plugins,
    ]


def test_every_plugin_has_the_same_files():
    for plugin in PLUGINS:
        (package,) = (path for path in (plugin / "src").iterdir() if path.suffix != ".egg-info")
        name = re.search(r'^name = "(.+)"', (plugin / "pyproject.toml").read_text(), re.M)[1]
        assert package.name == name.replace("-", "_")
        assert name.startswith(f"lightly-{plugin.name}")
        for file in (plugin / "README.md", plugin / "LICENSE", package / "plugin.py"):
            assert file.is_file(), file


def test_no_file_names_a_machine():
    # Absolute paths of the places where the code was written, and where packages came from.
    pattern = re.compile(r"(?<![\w.])/(?:work|root|tmp/w)/|index[-_]url\b|/simple(?![\w-])")
    here = Path(__file__).resolve()
    for file in repository_files():
        content = file.read_bytes()
        if b"\0" in content or file.resolve() == here:
            continue
        found = pattern.search(content.decode("utf-8", errors="replace"))
        assert found is None, f"{file} holds {found.group()!r}"


def test_no_file_is_large():
    large = [file for file in repository_files() if file.stat().st_size >= MAX_FILE_BYTES]
    assert large == []
