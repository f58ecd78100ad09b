"""CPU seconds to the first step that many files cost more than few, of ours or of a peer.

python many_files.py FOLDER NUMBER PROGRAM

PROGRAM is ``our_run`` or ``lightly_train_run``. FOLDER holds the few files. The many are links to
one of them, in a folder next to it, which is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.many_files import write_files

SETTINGS = ("simclr", "torchvision/resnet18", "64", "16")


def seconds(program: str, folder: Path) -> float:
    """Return the CPU seconds of a run until its first step."""
    words = ("-m", f"benchmarks.programs.{program}", *SETTINGS, str(folder), "start")
    done = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["value"])


def main(folder: str, number: str, program: str) -> None:
    """Measure a run of the many and one of the few."""
    few = Path(folder)
    many = few.with_name(f"{number}_files")
    write_files(few, many, int(number))
    value = seconds(program, many) - seconds(program, few)
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
