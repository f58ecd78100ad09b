"""The code of docs/custom-models.md runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parents[1] / "docs/custom-models.md"
TEXT = PAGE.read_text()
CODE = "\n\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
PRINTED = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "my_images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(16):
        pixels = rng.integers(0, 255, (72, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"my_images/{index}.png")
    return tmp_path


def test_pages_that_it_links_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target


@pytest.mark.slow
def test_the_code_runs_and_prints_what_the_page_says(images):
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=images,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in PRINTED:
        assert text in done.stdout
    for line in CODE.splitlines():
        if shape := re.search(r"print\(.*# (\(.*\))$", line):
            assert f"torch.Size([{shape[1][1:-1]}])" in done.stdout
    for name in ("name", "object", "wrap", "wrapper", "embedded"):
        assert (images / f"out/{name}/exported_models/exported_last.pt").is_file()
    assert (images / "out/embedded/exported_models/exported_last.embedding.safetensors").is_file()
