import torch

from lightly_core.parts.files import save_torch


def test_a_file_depends_on_its_content_alone(tmp_path):
    for name in ("first.pt", "second.ckpt"):
        save_torch({"a": torch.arange(5), "b": [1, "x"]}, tmp_path / name)
    assert (tmp_path / "first.pt").read_bytes() == (tmp_path / "second.ckpt").read_bytes()
    found = torch.load(tmp_path / "first.pt", weights_only=True)
    assert torch.equal(found["a"], torch.arange(5))
    assert found["b"] == [1, "x"]


def test_what_was_there_is_overwritten(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"0" * 100_000)
    save_torch(3, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True) == 3
    assert (tmp_path / "a.pt").stat().st_size < 10_000
