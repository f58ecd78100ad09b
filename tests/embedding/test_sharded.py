"""A folder of files: what is in it, how a stopped call is continued, and what is refused."""

import io
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as parquet
import pytest

import lightly_core
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.launch import Launch
from lightly_core.embedding import child, processes, rows, run, sharded
from lightly_core.embedding.shards import Shards
from lightly_core.embedding.writers import ParquetWriter
from lightly_core.errors import ConfigError, DataError


@pytest.fixture
def shards(embed, tmp_path):
    """Write the twelve images in files of five: 5, 5 and 2, with batches of two."""

    def shards(**changes):
        settings = {"out": tmp_path / "features", "shard_size": 5, "batch_size": 2}
        return embed(**{**settings, **changes})

    return shards


def content(folder):
    """Content of all files of a folder, by name."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def interrupted(self, names, features):
    raise KeyboardInterrupt


FILES = [f"features-{number:05}-of-00003.parquet" for number in range(3)]


def test_files_hold_the_images_in_order_and_are_read_as_one_table(shards, embed, read, tmp_path):
    result = shards(batch_size=5)
    assert result == lightly_core.EmbedResult(tmp_path / "features", 12, 0, 32)
    assert sorted(content(result.path)) == ["_manifest.json", *FILES]
    # The batches of a file begin with its first image, as those of the single file here.
    names, features = read(embed(out=tmp_path / "one.parquet").path)
    table = parquet.read_table(result.path)  # of the folder
    assert table["filename"].to_pylist() == names
    assert table["embedding"].to_pylist() == features.tolist()
    assert [parquet.read_metadata(result.path / name).num_rows for name in FILES] == [5, 5, 2]
    manifest = json.loads((result.path / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["skipped"]) == (12, 0)
    assert manifest["files"][2] == {"name": FILES[2], "rows": 2, "skipped": 0}
    assert manifest["settings"] == {
        "features": "pooled",
        "l2_normalize": False,
        "batch_size": 5,
        "shard_size": 5,
    }
    assert manifest["images"]["number"] == 12
    assert len(manifest["network"]["checksum"]) == 16


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_call_is_continued_with_the_same_bytes(
    workers, shards, monkeypatch, tmp_path, capsys
):
    whole = content(shards(out=tmp_path / "whole").path)
    add, calls = ParquetWriter.add, []

    def add_some(self, names, features):
        calls.append(names)
        if len(calls) == 5:  # in the second file
            raise KeyboardInterrupt
        add(self, names, features)

    monkeypatch.setattr(ParquetWriter, "add", add_some)
    with pytest.raises(KeyboardInterrupt):
        shards()
    assert sorted(content(tmp_path / "features")) == ["_manifest.json", FILES[0]]
    left = tmp_path / "features" / f".{FILES[1][:-8]}-abc.parquet.writing"
    left.touch()  # as a process that was killed leaves it
    result = shards(num_workers=workers)
    assert sum(map(len, calls[5:])) == 7  # the first file was not computed again
    assert content(result.path) == whole
    assert result.num_images == 12
    shards()
    assert sum(map(len, calls[5:])) == 7
    printed = capsys.readouterr().out
    assert "1 of 3 files are complete." in printed
    assert "Embedded 7 images in " in printed


@pytest.mark.slow
def test_only_files_that_are_missing_are_computed_again(shards, capsys):
    whole = content(shards().path)
    assert "are complete" not in capsys.readouterr().out
    folder = shards().path
    (folder / FILES[1]).unlink()
    capsys.readouterr()
    assert content(shards().path) == whole
    printed = capsys.readouterr().out
    assert "2 of 3 files are complete." in printed
    assert "Embedded 5 images in " in printed


def test_other_settings_weights_and_images_are_refused_by_name(shards, tiny, image_folder):
    before = content(shards().path)
    folder = image_folder / "a"
    (folder / "00.png").rename(folder / "aa.png")
    tiny.get_model()[0][0].weight.data[0] += 1
    with pytest.raises(ConfigError) as error:
        shards(l2_normalize=True, shard_size=4)
    message = str(error.value)
    for part in (
        "set overwrite=true to replace them",
        "network: checksum was ",
        "images: names was ",
        "settings: l2_normalize was false, is true",
        "settings: shard_size was 5, is 4",
    ):
        assert part in message
    assert "batch_size" not in message
    assert content(message.split("'")[1]) == before


@pytest.mark.slow
def test_overwrite_replaces_files_of_other_settings_only(shards, monkeypatch, tmp_path):
    whole = content(shards(out=tmp_path / "whole", l2_normalize=True).path)
    shards(shard_size=4)
    shards(shard_size=5, l2_normalize=True, overwrite=True)
    assert content(tmp_path / "features") == whole  # of both, three files have other names

    def refuse(*arguments, **named):
        raise AssertionError("computed again")

    monkeypatch.setattr(rows, "batch_features", refuse)
    shards(l2_normalize=True, overwrite=True)


def test_unreadable_images_are_listed_over_all_files(shards, image_folder, tmp_path, capsys):
    for name in ("a/00.png", "a/02.png", "b/09.png", "b/11.png"):
        (image_folder / name).write_bytes(b"")
    result = shards(max_skipped=0.5)
    assert (result.num_images, result.num_skipped) == (8, 4)
    listed = (result.path / "_skipped.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in listed] == [
        ["index", "name"],
        ["0", "a/00.png"],
        ["1", "a/02.png"],
        ["10", "b/09.png"],
        ["11", "b/11.png"],
    ]
    assert parquet.read_table(result.path).num_rows == 8  # one of the files is empty
    again = shards(max_skipped=0.5)  # of files that are complete, too
    assert (again.num_images, again.num_skipped) == (8, 4)
    assert "4 images cannot be read" in capsys.readouterr().out
    with pytest.raises(DataError, match="4 of 12 images"):
        shards(max_skipped=0.3)


# ----------------------------------------------------------------------------- several processes


@pytest.mark.parametrize(("num_images", "size", "world_size"), [(12, 5, 2), (100, 7, 4), (3, 9, 8)])
def test_every_process_has_a_part_and_then_helps_the_others(num_images, size, world_size, tmp_path):
    layout = Shards(tmp_path, num_images, size, "x")
    images = [index for shard in range(len(layout)) for index in layout.images(shard)]
    assert images == list(range(num_images))
    first = []
    for rank in range(world_size):
        order = layout.order(rank, world_size)
        assert sorted(order) == list(range(len(layout)))
        own = len(layout) * (rank + 1) // world_size - len(layout) * rank // world_size
        first += order[:own]
    assert first == list(range(len(layout)))  # contiguous parts


def test_a_file_of_a_process_that_ended_is_computed_by_another(shards, monkeypatch, tmp_path):
    whole = content(shards(out=tmp_path / "whole").path)
    with monkeypatch.context() as patched:
        patched.setattr(ParquetWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shards()
    is_claimed, ended, waited = threading.Event(), threading.Event(), []

    def other():
        with Shards(tmp_path / "features", 12, 5, "x").claimed(1) as is_ours:
            assert is_ours
            is_claimed.set()
            ended.wait()

    def sleep(seconds):
        if seconds == sharded._WAIT_SECONDS:  # all others are complete
            waited.append(sorted(content(tmp_path / "features")))
            ended.set()
            thread.join()

    thread = threading.Thread(target=other)
    thread.start()
    is_claimed.wait()
    monkeypatch.setattr(sharded.time, "sleep", sleep)
    shards()
    assert [name for name in waited[0] if name.endswith("parquet")] == [FILES[0], FILES[2]]
    assert content(tmp_path / "features") == whole


@pytest.mark.processes
def test_processes_of_devices_write_what_one_writes(image_folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = {
        "model": "timm/test_vit",
        "data": image_folder,
        "image_size": 32,
        "batch_size": 2,
        "num_workers": 0,
        "accelerator": "cpu",
        "shard_size": 2,
    }
    one = lightly_core.embed(**settings, out=tmp_path / "one")
    two = lightly_core.embed(**settings, out=tmp_path / "two", devices=2)
    assert (two.num_images, two.dim) == (one.num_images, one.dim)
    assert content(two.path) == content(one.path)
    printed = capfd.readouterr()
    assert printed.out.count("Embedded 12 images") == 2  # by the first process of each call
    assert printed.err == ""


@pytest.mark.parametrize("launched", [False, True])
def test_processes_are_those_of_a_launcher_or_as_many_as_devices(
    launched, image_folder, tmp_path, monkeypatch
):
    seen = {}

    @contextmanager
    def further(config, launch):
        seen["started"] = launch
        yield

    def build(*arguments):
        seen["used"] = arguments[-1]
        return SimpleNamespace(write=lambda: "result")

    monkeypatch.setattr(run, "further_processes", further)
    monkeypatch.setattr(run, "ShardedEmbedding", build)
    backbone = SimpleNamespace(open_source=lambda data: None)
    monkeypatch.setattr(run, "open_backbone", lambda *_, **__: backbone)
    torchrun = Launch(launcher="torchrun", world_size=3, rank=1, local_size=1, local_rank=0)
    config = EmbedConfig(model="a/b", data="c", out="d", shard_size=1, accelerator="cpu", devices=2)
    plugins = SimpleNamespace(catalog=None)
    assert run._embed_together(config, plugins, torchrun if launched else None) == "result"
    if launched:
        assert seen == {"started": None, "used": torchrun}
    else:
        assert seen["started"] == seen["used"]
        assert (seen["used"].world_size, seen["used"].rank) == (2, 0)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, 0, ""),
        (DataError("no images"), 1, "error: no images\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_further_process_gets_its_settings_and_tells_how_it_ended(
    error, code, told, monkeypatch, capsys
):
    seen = {}

    def embed_with(arguments):
        seen["settings"] = arguments
        if error is not None:
            raise error

    job = {"settings": {"model": "a/b", "devices": 1}, "blocked": ["timm"]}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
    monkeypatch.setattr(child, "embed_with", embed_with)
    monkeypatch.setattr(child, "configure", lambda block: seen.update(blocked=block))
    assert child.main() == code
    assert seen == job
    assert capsys.readouterr().err == told


def test_a_process_of_devices_that_fails_is_reported_and_not_missed(monkeypatch, caplog):
    monkeypatch.setattr(processes, "_MODULE", "no_such_module")
    monkeypatch.setattr(processes, "_SECONDS_TO_FINISH", 60)
    launch = Launch(launcher="devices", world_size=2, rank=0, local_size=2, local_rank=0)
    config = EmbedConfig(model="a/b", data="c", out="d", shard_size=1, devices=2)
    with processes.further_processes(config, launch):
        pass
    assert "Process 1 of 2 ended with code 1; the others computed its files." in caplog.text


def test_an_error_ends_the_other_processes(monkeypatch):
    begun = []

    def start(launch, rank, job):
        begun.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return begun[0]

    monkeypatch.setattr(processes, "_start", start)
    launch = Launch(launcher="devices", world_size=2, rank=0, local_size=2, local_rank=0)
    config = EmbedConfig(model="a/b", data="c", out="d", shard_size=1, devices=2)
    with pytest.raises(DataError), processes.further_processes(config, launch):
        raise DataError("too many")
    assert begun[0].poll() is not None
    begun[0].stdin.close()


@pytest.mark.parametrize(("found", "devices", "expected"), [(2, "auto", 2), (2, 1, 1), (0, 3, 3)])
def test_devices_are_gpus_where_there_are_any(found, devices, expected, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: found > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: found)
    config = EmbedConfig(model="a/b", data="c", out="d", shard_size=1, devices=devices)
    launch = processes.own_launch(config)
    assert (launch.world_size if launch else 1) == expected


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    config = EmbedConfig(model="a/b", data="c", out="d", shard_size=1, devices=2)
    with pytest.raises(ConfigError, match=r"got 2, but torch finds 1 device\(s\)"):
        processes.own_launch(config)
