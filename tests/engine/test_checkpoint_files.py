"""Two checkpoints, each with a checksum: damage is noticed, and the run goes on from the other."""

import random
import shutil

import pytest
import torch

import lightly_core
from lightly_core.checksum import damage_of, seal
from lightly_core.engine.checkpoint_io import read_checkpoint
from lightly_core.errors import ConfigError

EVERY_EPOCH = {"model_checkpoint": {"min_seconds_between": 0}}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "a.ckpt"
    torch.save({"weight": torch.randn(40, 40), "step": 3}, path)
    seal(path)
    return path


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


DAMAGES = {
    "a flipped bit": lambda path: flip(path, 4 * path.stat().st_size),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "the half": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("a note\n" * 100),
    "gone": lambda path: path.unlink(),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


def test_torch_reads_a_file_with_a_checksum_as_before(sealed):
    for mmap in (False, True):
        assert torch.load(sealed, weights_only=True, mmap=mmap)["step"] == 3
    assert damage_of(sealed) is None
    assert read_checkpoint(sealed)["step"] == 3


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(sealed, tmp_path):
    size = sealed.stat().st_size
    bits = random.Random(0).sample(range(8 * size), 400)
    bits += range(8 * size - 8 * 60, 8 * size)  # the checksum itself
    path = shutil.copyfile(sealed, tmp_path / "flipped.ckpt")
    missed = []
    for bit in bits:
        flip(path, bit)
        if damage_of(path) is None:
            missed.append(bit)
        flip(path, bit)  # back again
    assert damage_of(path) is None
    assert missed == []


def test_files_without_our_checksum_are_judged_by_that_of_torch(tmp_path):
    path = tmp_path / "plain.ckpt"
    torch.save({"weight": torch.full((40, 40), 7.0)}, path)
    assert damage_of(path) is None
    flip(path, 8 * path.read_bytes().index(torch.full((4,), 7.0).numpy().tobytes()))
    assert "checksum" in damage_of(path)


@pytest.mark.slow
def test_the_last_two_checkpoints_are_two_files(pretrain, short_run, tmp_path):
    pretrain(**short_run(callbacks=EVERY_EPOCH))
    files = sorted((tmp_path / "out/checkpoints").iterdir())
    assert [path.name for path in files] == ["epoch=1-step=6.ckpt", "last.ckpt"]
    assert files[0].stat().st_ino != files[1].stat().st_ino
    assert [damage_of(path) for path in files] == [None, None]


LAST_AND_PREVIOUS = {"model_checkpoint": {"min_seconds_between": 0, "save_top_k": 0}}


@pytest.fixture(scope="module")
def with_previous(tmp_path_factory, settings_of, image_folder):
    """The folder of a run that has kept its last two checkpoints. Tests copy it."""
    out = tmp_path_factory.mktemp("previous") / "out"
    settings = settings_of(out=out, data=image_folder, callbacks=LAST_AND_PREVIOUS)
    return lightly_core.pretrain(**settings).folder


@pytest.mark.slow
def test_without_files_by_epoch_the_one_before_is_kept(with_previous):
    files = sorted((with_previous / "checkpoints").iterdir())
    assert [path.name for path in files] == ["last.ckpt", "previous.ckpt"]
    assert [read_checkpoint(path)["global_step"] for path in files] == [6, 3]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_the_other_taken(
    damage, pretrain, short_run, tmp_path, with_previous, finished
):
    out = shutil.copytree(with_previous, tmp_path / "out")
    last = out / "checkpoints/last.ckpt"
    DAMAGES[damage](last)
    resumed = pretrain(**short_run(callbacks=LAST_AND_PREVIOUS, resume_interrupted=True))
    log = (out / "train.log").read_text()
    (line,) = [line for line in log.splitlines() if "Resuming from" in line]
    assert str(last) in line
    assert "previous.ckpt' instead, after step 3" in line
    assert damage_of(last) is None
    assert damage_of(out / "checkpoints/previous.ckpt") is None
    assert (out / "checkpoints/damaged.ckpt").exists() == (damage != "gone")
    runs = (resumed, finished.result)
    one, other = (torch.load(run.exported[0], weights_only=True) for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_if_none_is_good_each_is_named_and_nothing_changes(pretrain, short_run, finished_out):
    files = sorted((finished_out / "checkpoints").iterdir())
    assert len(files) == 2
    for path in files:
        flip(path, 4 * path.stat().st_size)
    before = {path: path.read_bytes() for path in finished_out.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="another `out`") as caught:
        pretrain(**short_run(resume_interrupted=True))
    assert all(str(path) in str(caught.value) for path in files)
    assert "overwrite" not in str(caught.value)
    assert before == {p: p.read_bytes() for p in finished_out.rglob("*") if p.is_file()}


def test_weights_are_not_taken_from_a_damaged_file(pretrain, short_run, finished, tmp_path):
    path = shutil.copyfile(finished.result.folder / "checkpoints/last.ckpt", tmp_path / "a.ckpt")
    flip(path, 4 * path.stat().st_size)
    with pytest.raises(ConfigError, match="checksum differs"):
        pretrain(**short_run(checkpoint=path))


def test_what_a_killed_run_was_writing_is_removed(pretrain, short_run, finished_out):
    left = [
        finished_out / "checkpoints/.last-abc.ckpt.writing",
        finished_out / "exported_models/.exported_last-abc.pt.writing",
        finished_out / ".config-abc.json.writing",
    ]
    for path in left:
        path.write_text("half")
    pretrain(**short_run(resume_interrupted=True))
    assert not any(path.exists() for path in left)
