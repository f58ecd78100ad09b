"""The example notebook runs in a kernel, and its results show themselves."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples/notebook.ipynb"


def test_the_example_is_small_and_holds_no_outputs():
    assert NOTEBOOK.stat().st_size < 100_000
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [cell["outputs"] for cell in cells if cell.get("outputs")] == []
    assert {cell.get("execution_count") for cell in cells} == {None}


@pytest.mark.slow
def test_the_example_runs_in_a_kernel(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="`nox -s slow` installs a kernel")
    nbclient = pytest.importorskip("nbclient", reason="`nox -s slow` installs a kernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (training,) = [cell for cell in notebook.cells if "epochs=2," in cell.source]
    smaller = training.source.replace("timm/resnet10t", "timm/test_resnet")
    training.source = smaller.replace("epochs=2,", "epochs=1,")
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            if output.output_type == "execute_result" and "text/html" in output.data:
                shown[cell.source.split("(")[0].split(".")[-1]] = output.data["text/html"]
    names = {"pretrain", "evaluate", "embed", "list_runs", "list_methods", "list_models"}
    assert shown.keys() == names | {"list_plugins"}
    assert "finished" in shown["list_runs"]
    assert "kNN top-1" in shown["pretrain"]
    assert "points" in shown["pretrain"].partition("+")[2]  # the accuracy has risen
