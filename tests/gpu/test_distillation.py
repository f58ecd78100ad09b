"""The teacher on a CUDA device: compiled, in chunks, from a cache; and the memory of its loss."""

import pytest
import torch

import lightly_core
from lightly_distillation.loss import relational_kl

pytestmark = pytest.mark.gpu

VIT = {"img_size": 32, "patch_size": 8}


@pytest.fixture
def losses(tmp_path, read_losses, monkeypatch):
    """Distil an untrained teacher for two epochs, and return the losses."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))

    def call(**method_args):
        return read_losses(
            lightly_core.pretrain(
                out=tmp_path / f"run{len(list(tmp_path.iterdir()))}",
                data="builtin:digits",
                model="timm/test_vit",
                model_args=VIT,
                method="distillationv3",
                method_args={"teacher": "timm/test_vit", "teacher_args": VIT, **method_args},
                transform_args={"image_size": 32},
                epochs=2,
                batch_size=64,
                num_workers=2,
                precision="32-true",
                float32_matmul_precision="highest",
                callbacks={"knn": None, "signals": None},
                trainer_args={"limit_train_batches": 5, "log_every_n_steps": 1},
            )
        )

    return call


@pytest.mark.parametrize(
    "method_args",
    [{"teacher_compile": True}, {"teacher_chunk_size": 24}, {"cache": 1}],
    ids=["compiled", "chunks", "cache"],
)
def test_how_the_teacher_computes_does_not_matter(losses, method_args):
    args = {"teacher_precision": "fp32"}
    # With a cache images are seen in other views; the first run fills it, the second one reads.
    plain = losses(**args, **({"cache": 1} if "cache" in method_args else {}))
    found = losses(**args, **method_args)
    assert len(found) == 10
    assert found == pytest.approx(plain, rel=1e-2)


def test_relations_of_448_pixels_take_little_memory():
    generator = torch.Generator("cuda").manual_seed(0)
    student, teacher = (
        torch.randn(64, 784, 768, device="cuda", generator=generator) for _ in range(2)
    )
    student.requires_grad_()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    torch.autograd.backward(relational_kl(student, teacher, temperature=0.07))
    assert torch.cuda.max_memory_allocated() - before < 2**30
