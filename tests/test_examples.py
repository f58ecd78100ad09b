import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_subset_has_the_first_images_of_every_class(tmp_path):
    for label in "ab":
        (tmp_path / "all" / label).mkdir(parents=True)
        for index in range(4):
            (tmp_path / "all" / label / f"{index}.png").write_text(f"{label}{index}")
    command = [sys.executable, EXAMPLES / "subset.py", tmp_path / "all", tmp_path / "part", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "4 images\n"
    names = sorted(str(p.relative_to(tmp_path / "part")) for p in tmp_path.glob("part/*/*"))
    assert names == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert (tmp_path / "part/b/1.png").read_text() == "b1"


def test_the_speed_of_a_step_is_measured_in_both_precisions():
    command = [sys.executable, EXAMPLES / "step_speed.py", "torchvision/squeezenet1_1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = done.stdout.splitlines()[-1].split("|")
    assert row[1].strip() == "torchvision/squeezenet1_1"
    assert all(float(cell.strip().removesuffix(" s")) > 0 for cell in row[2:4])


def test_the_speed_of_loading_is_measured_both_ways():
    command = [sys.executable, EXAMPLES / "loading_speed.py", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[1:3] for row in rows] == [
        [ending, name]
        for ending in ("png", "jpg")
        for name in ("first stage", "with colours", "numbers only", "reading once")
    ]
    rates = [float(row[4].replace(",", "")) for row in rows]
    assert min(rates) > 0
