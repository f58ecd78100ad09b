"""What seconds on the digits do to frozen features; on a CPU."""

import pytest
import torch
from circles import mark_others
from digits import Neighbours

import lightly_core
from lightly_core.testing.models import TinyConv

PREDICTOR = {"predictor_dim": 32, "predictor_depth": 2}
HEAD = {"hidden_dim": 256, "output_dim": 64, "num_prototypes": 64}
OPTIONS = {
    "mae": {"decoder_dim": 32, "decoder_depth": 2, "decoder_num_heads": 2},
    "simmim": {},
    "msn": HEAD,
    "pmsn": HEAD,
    "ijepa": {**PREDICTOR, "predictor_num_heads": 2},
    "capi": {**PREDICTOR, "predictor_head_dim": 16, "num_clusters": 256},
}
# Epochs, images in a batch, side of a patch, and the fraction of right answers gained at the least.
# Measured: mae 0.117, simmim 0.095, msn 0.123, pmsn 0.114, capi 0.145.
GAINS = {
    "mae": (16, 32, 8, 0.03),
    "simmim": (5, 32, 8, 0.02),
    "msn": (6, 32, 8, 0.05),
    "pmsn": (6, 32, 8, 0.05),
    # Among all digits 0.032, 0.033, 0.023 with seeds 0, 1 and 2; 0.000 with a loss of zero.
    "ijepa": (4, 64, 8, 0.01),
    "capi": (8, 32, 4, 0.04),
}
# At the other methods' rate capi forgets within 448 steps: 41.5 % became 41.2, and at this 56.0.
LEARNING_RATES = {"capi": 5e-4, "mae": 3e-3, "ijepa": 3e-4}
WITH_CLASS_TOKEN = ("msn", "pmsn")


@pytest.mark.slow
@pytest.mark.parametrize("method", mark_others(pytest.mark.exhaustive, GAINS, "ijepa"))
def test_neighbours_have_the_same_label_more_often(tmp_path, method):
    epochs, batch_size, patch_size, gain = GAINS[method]
    model = {"img_size": 32, "patch_size": patch_size, "embed_dim": 64, "depth": 3, "num_heads": 2}
    transform = {"image_size": 32, "random_flip": None, "random_resize": {"min_scale": 0.5}}
    if method in WITH_CLASS_TOKEN:
        model["dynamic_img_size"] = True
        local = {"view_size": 16, "random_resize": {"min_scale": 0.2, "max_scale": 0.5}}
        transform |= {"local_view": {"num_views": 2, **local}, "gaussian_blur": None}
        transform |= {"color_jitter": None, "random_gray_scale": None}
    else:
        model |= {"class_token": False, "global_pool": "avg", "fc_norm": False}
    neighbours = Neighbours() if method == "ijepa" else None
    result = lightly_core.pretrain(
        out=tmp_path / "out",
        data="builtin:digits",
        model="timm/vit_tiny_patch16_224",
        model_args=model,
        method=method,
        recipe="paper",  # with which the gains were measured
        method_args=OPTIONS[method],
        transform_args=transform,
        epochs=epochs,
        batch_size=batch_size,
        num_workers=0,
        accelerator="cpu",
        devices=1,
        precision="32-true",
        optim_args={"lr": LEARNING_RATES.get(method, 1e-3), "lr_scale_method": "none"},
        callbacks={"knn": None} if neighbours else {},
        loggers={"tensorboard": None},
        trainer_args={"callbacks": [neighbours]} if neighbours else {},
        seed=0,
    )
    assert (neighbours.gain if neighbours else result.knn_after - result.knn_before) > gain


# With the paper's 0.05 so small a run stays where all codes are uniform, and the loss at log(64).
SWAV = {**HEAD, "epsilon": 0.02}
SIAMESE = {"hidden_dim": 256, "output_dim": 256, "predictor_hidden_dim": 64}
# The same for a network of three convolutions, with options: epochs and the least gain. Untrained
# it has 0.838 right; with a loss of zero, which changes the statistics of its batch norms, 0.858.
CONV_GAINS = {
    # Measured: byol 0.045, simsiam 0.053, fastsiam 0.070, resa 0.089.
    "byol": ({"hidden_dim": 256, "output_dim": 64, "predictor_hidden_dim": 256}, 2, 0.03),
    "simsiam": (SIAMESE, 1, 0.03),
    "fastsiam": (SIAMESE, 1, 0.05),
    "resa": ({"hidden_dim": 256, "output_dim": 64}, 4, 0.05),
    # Measured: swav 0.045, swavqueue 0.045, smog 0.033, deepclusterv2 0.056.
    "swav": (SWAV, 4, 0.04),
    "swavqueue": (SWAV, 4, 0.03),
    "smog": ({"hidden_dim": 256, "output_dim": 64}, 4, 0.03),
    "deepclusterv2": (HEAD, 2, 0.03),
    # Measured: lejepa 0.053, visreg 0.072, vicregl 0.086.
    "lejepa": ({"hidden_dim": 256, "output_dim": 16, "num_slices": 256}, 3, 0.04),
    "visreg": ({"hidden_dim": 256, "output_dim": 32, "num_slices": 256}, 3, 0.05),
    # Measured: emp-ssl 0.078. Other methods that decorrelate: decorrelation/test_learning.py.
    "emp-ssl": ({"hidden_dim": 256, "output_dim": 128}, 1, 0.05),
    "vicregl": (
        {"hidden_dim": 256, "output_dim": 256, "local_hidden_dim": 64, "local_output_dim": 64},
        2,
        0.07,
    ),
}
# At the rate of the others these gain too little in so few epochs.
SLOW = ("resa", "smog")
WITH_SMALL_CROPS = ("swav", "swavqueue", "deepclusterv2", "lejepa", "visreg")
SMALL_CROPS = {
    "num_views": 2,
    "view_size": 16,
    "random_resize": {"min_scale": 0.2, "max_scale": 0.5},
    "gaussian_blur": None,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", mark_others(pytest.mark.exhaustive, CONV_GAINS, "byol", "swav", "lejepa")
)
def test_neighbours_of_convolutional_features_have_the_same_label_more_often(tmp_path, method):
    options, epochs, gain = CONV_GAINS[method]
    torch.manual_seed(0)
    result = lightly_core.pretrain(
        out=tmp_path / "out",
        data="builtin:digits",
        model=TinyConv(feature_dim=64),
        method=method,
        recipe="paper",  # with which the gains were measured
        method_args=options,
        transform_args={
            "image_size": 32,
            "random_flip": None,
            "random_resize": {"min_scale": 0.5, "max_scale": 1.0},
            "gaussian_blur": None,
            **({"num_views": 6} if method == "emp-ssl" else {}),
            **({"local_view": SMALL_CROPS} if method in WITH_SMALL_CROPS else {}),
        },
        epochs=epochs,
        batch_size=64,
        num_workers=0,
        accelerator="cpu",
        devices=1,
        precision="32-true",
        optim="adamw",
        optim_args={"lr": 1e-3 if method in SLOW else 2e-3, "lr_scale_method": "none"},
        loggers={"tensorboard": None},
        seed=0,
    )
    assert result.knn_after > result.knn_before + gain
