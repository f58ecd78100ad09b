"""Images in a bucket of moto's server, which is killed in the middle of an epoch."""

import contextlib
import socket
import subprocess
import sys
import time

import fsspec
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from pictures import picture
from short_run import run_settings

import lightly_core
from lightly_core.data.check import data_problems
from lightly_core.data.sources import open_source
from lightly_core.errors import DataError

pytestmark = pytest.mark.slow  # moto and botocore take seconds to import


class Bucket:
    """A process with a server that keeps a bucket of 24 images in its memory."""

    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while True:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                break
            time.sleep(0.1)
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("pictures")
        for index in range(24):
            system.pipe(f"pictures/train/{index:02}.png", picture(index))

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("lightly_core.data.remote._WAITS", (0, 0, 0, 0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"endpoint_url": f"http://127.0.0.1:{port}", "key": "key", "secret": "secret"}
    settings["config_kwargs"] = {"retries": {"max_attempts": 1}}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    bucket = Bucket(port)
    yield bucket
    bucket.kill()


def weights(out):
    return torch.load(out / "exported_models/exported_last.pt", weights_only=True)


def test_a_run_whose_server_goes_away_resumes_to_the_last_bit(tmp_path, bucket):
    data = "s3://pictures/train?cache_size=0"
    assert data_problems(data) == []
    source = open_source(data)
    assert [source.name(index) for index in (0, 23)] == ["00.png", "23.png"]
    (tmp_path / "files").mkdir()
    for index in range(24):
        (tmp_path / f"files/{index:02}.png").write_bytes(picture(index))
    checkpoints = {"model_checkpoint": {"every_n_train_steps": 1, "min_seconds_between": 0}}
    lightly_core.pretrain(
        **run_settings(out=tmp_path / "whole", data=str(tmp_path / "files"), in_memory=False)
    )

    def stop(trainer, *_):
        if trainer.global_step == 4:  # in the second epoch
            bucket.kill()

    cut = run_settings(out=tmp_path / "cut", data=data, in_memory=False, callbacks=checkpoints)
    stopping = {**cut["trainer_args"], "callbacks": [LambdaCallback(on_train_batch_end=stop)]}
    with pytest.raises(DataError, match="cannot be reached"):
        lightly_core.pretrain(**{**cut, "trainer_args": stopping})
    bucket.start()
    lightly_core.pretrain(**cut, resume_interrupted=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not (tmp_path / "cut/skipped_images.csv").exists()
