"""Measure the memory of the relational loss of distillationv3.

    python examples/relational_memory.py

Prints the increase of a process's peak memory in the forward and backward pass of the loss, for 784
positions (448 pixels, patches of 16) and 64 images. The features of student and teacher are in
memory before. A full matrix of similarities would be 64 x 784 x 784 numbers, 150 MiB, and several
are needed at once. Each row runs in its own process, since the peak memory of a process never
decreases.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from lightly_distillation.loss import relational_kl

_MIB = 2**20


def measure(batch: int, positions: int, width: int, chunk_size: int) -> tuple[float, float]:
    """Return the increase of this process's peak memory in MiB, and the seconds.

    Args:
        batch: Images B.
        positions: Positions N of the feature map.
        width: Dimension D of the features (B, N, D).
        chunk_size: As in `relational_kl`.
    """
    torch.manual_seed(0)
    # Memory that a first call of any size allocates and keeps is not counted.
    _step(torch.randn(1, 8, width), torch.randn(1, 8, width), chunk_size)
    student = torch.randn(batch, positions, width)
    teacher = torch.randn(batch, positions, width)
    before, start = _peak(), time.perf_counter()
    _step(student, teacher, chunk_size)
    return _peak() - before, time.perf_counter() - start


def _step(student: torch.Tensor, teacher: torch.Tensor, chunk_size: int) -> None:
    student.requires_grad_()
    loss = relational_kl(student, teacher, temperature=0.07, chunk_size=chunk_size)
    torch.autograd.backward(loss)


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else _MIB / 1024)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=64, help="images")
    parser.add_argument("--positions", type=int, default=784, help="positions of the feature map")
    parser.add_argument(
        "--widths", type=int, nargs="+", default=[384, 768], help="dimensions of the features"
    )
    parser.add_argument(
        "--chunk-sizes",
        type=int,
        nargs="+",
        default=[256, 1024, 4096, 16384],
        help="rows of similarities that are computed at once",
    )
    parser.add_argument("--one-row", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Print the table. Each row is measured by this script in a child process."""
    options = _arguments()
    if options.one_row:
        width, chunk_size = options.widths[0], options.chunk_sizes[0]
        increase, seconds = measure(options.batch, options.positions, width, chunk_size)
        print(f"| {width} | {chunk_size} | {increase:.0f} | {seconds:.2f} |")
        return
    print(f"{options.batch} images, {options.positions} positions\n")
    print(
        "| width | chunk_size | peak above student and teacher, MiB | seconds |\n|---|---|---|---|"
    )
    for width in options.widths:
        for chunk_size in options.chunk_sizes:
            command = [sys.executable, __file__, "--one-row"]
            command += ["--batch", str(options.batch), "--positions", str(options.positions)]
            command += ["--widths", str(width), "--chunk-sizes", str(chunk_size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(done.stdout, end="", flush=True)


if __name__ == "__main__":
    main()
