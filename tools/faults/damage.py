"""Checkpoints that were damaged after they were written."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as lightning

from lightly_core.checksum import damage_of
from tools.faults.runs import RANDOM, Row, differing, run, state_of

NUM_FLIPS, NUM_CUTS, NUM_RESUMES = 200, 60, 4


class StopAfter(lightning.Callback):
    """Sends SIGINT to its own process at the start of a step.

    Args:
        step: Number of the step, from 1.
    """

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: object) -> None:
        """Send the signal at the step."""
        if trainer.global_step == self._step - 1:
            os.kill(os.getpid(), signal.SIGINT)


def flip(path: Path) -> None:
    """Flip one bit at a random position."""
    data = bytearray(path.read_bytes())
    data[RANDOM.randrange(len(data))] ^= 1 << RANDOM.randrange(8)
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Truncate the file at a random position."""
    data = path.read_bytes()
    path.write_bytes(data[: RANDOM.randrange(1, len(data))])


def empty(path: Path) -> None:
    """Truncate the file to 0 bytes."""
    path.write_bytes(b"")


def text(path: Path) -> None:
    """Replace the content by text."""
    path.write_text("this is no checkpoint\n" * RANDOM.randint(1, 100))


def zeros(path: Path) -> None:
    """Replace the content by zeros, as some file systems do after a loss of power."""
    path.write_bytes(bytes(path.stat().st_size))


def damages(folder: Path, images: Path) -> list[Row]:
    """Damage `last.ckpt` in several ways. Check that the damage is detected, and resume."""
    folder.mkdir(parents=True)
    whole, half, log = folder / "whole", folder / "half", folder / "log"
    ends = [
        run(log, whole, images),
        run(log, half, images, trainer_args={"callbacks": [StopAfter(9)]}),
    ]
    if [end.code for end in ends] != [0, 130]:
        return [Row("damaged checkpoint", "", 1, 1, "", "".join(end.text for end in ends)[-400:])]
    kinds = {"a flipped bit": flip, "truncated": cut, "empty": empty, "text": text, "zeros": zeros}
    rows = [
        _detected(whole, "a flipped bit", flip, NUM_FLIPS),
        _detected(whole, "truncated", cut, NUM_CUTS),
    ]
    for name, function in kinds.items():
        tries = NUM_RESUMES if function in (flip, cut) else 1
        failures = [found for _ in range(tries) if (found := _resumed(folder, images, function))]
        rows.append(
            Row(
                f"last.ckpt: {name}",
                "resume_interrupted=true",
                tries,
                len(failures),
                "resumes from the other file, bit-equal",
                failures[0][-400:] if failures else "",
            )
        )
    rows.append(_none_good(folder, images))
    return rows


def _detected(whole: Path, name: str, function: Callable[[Path], None], tries: int) -> Row:
    path = whole.parent / "damaged.ckpt"
    missed = 0
    for _ in range(tries):
        shutil.copyfile(whole / "checkpoints/last.ckpt", path)
        function(path)
        missed += damage_of(path) is None
    return Row(f"checkpoint: {name}", "at a random position", tries, missed, "detected")


def _resumed(folder: Path, images: Path, function: Callable[[Path], None]) -> str:
    """Damage the last checkpoint of an interrupted run and resume. Return what is wrong."""
    out, log = folder / "cut", folder / "log"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "half", out)
    function(out / "checkpoints/last.ckpt")
    end = run(log, out, images, resume_interrupted=True)
    if end.code != 0:
        return f"exit status {end.code}: {end.text}"
    if "Resuming from" not in end.text:
        return f"the log does not mention it: {end.text}"
    found = differing(state_of(folder / "whole"), state_of(out))
    return f"{len(found)} tensors differ, such as {found[0]}" if found else ""


def _none_good(folder: Path, images: Path) -> Row:
    out, log = folder / "cut", folder / "log"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "half", out)
    for path in out.glob("checkpoints/*.ckpt"):
        flip(path)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    end = run(log, out, images, resume_interrupted=True)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    fine = end.refused and before == after and "overwrite" not in end.text
    return Row(
        "all checkpoints damaged",
        "resume_interrupted=true",
        1,
        int(not fine),
        "an error that names them; no file changes",
        "" if fine else end.text[-400:],
    )
