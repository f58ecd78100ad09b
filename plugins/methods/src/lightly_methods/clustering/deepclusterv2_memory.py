"""The features and clusters of every image that DeepCluster-v2 keeps.

Shapes: N images of the data set, V views, D channels of a feature, H clusterings, B images on this
process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightly_core.parts.distributed import gather

_STATE = ("features", "known", "labels")


class FeatureMemory(nn.Module):
    """The latest features of each image, and its clusters of the last clustering.

    It is equal on all processes. Like `lightly_core.parts.queue.FeatureQueue` it is saved in
    checkpoints as extra state and is no buffer. DistributedDataParallel would send a buffer from
    the first process to the others in every step. It moves to the device where it is used.

    Args:
        num_images: N.
        num_views: V.
        dim: D.
        num_heads: H.
    """

    def __init__(self, num_images: int, num_views: int, dim: int, num_heads: int) -> None:
        super().__init__()
        self.features = torch.zeros(num_views, num_images, dim)
        self.known = torch.zeros(num_images, dtype=torch.bool)
        self.labels = torch.full((num_heads, num_images), -1)
        self.clustered = False

    @torch.no_grad()
    def write(self, indices: Tensor, features: Tensor) -> None:
        """Replace the features of the images of all processes.

        Args:
            indices: Positions of the images in the data set, (B,) int64.
            features: (V, B, D).
        """
        self._move_to(features.device)
        every_index = gather(indices.to(features.device, non_blocking=True))  # (all B,)
        rows = gather(features.transpose(0, 1)).transpose(0, 1)  # (V, all B, D)
        self.features[:, every_index] = rows.to(self.features.dtype)
        self.known.index_fill_(0, every_index, True)

    def rows(self, view: int) -> Tensor:
        """Return the features of one view of the M images written so far, (M, D)."""
        return self.features[view][self.known]

    def set_labels(self, head: int, labels: Tensor) -> None:
        """Set the cluster of each row of `rows`, (M,) int64."""
        self.labels[head, self.known] = labels
        self.clustered = True

    def labels_of(self, indices: Tensor, device: torch.device) -> Tensor:
        """Return the clusters of images, (H, B) int64; -1 for those that have none.

        Args:
            indices: Positions of the images in the data set, (B,) int64.
            device: Where the memory is moved first. A loaded one may be on another device.
        """
        self._move_to(device)
        return self.labels[:, indices.to(device, non_blocking=True)]

    def get_extra_state(self) -> dict[str, Tensor | bool]:
        """Return what a state dict holds."""
        tensors: dict[str, Tensor | bool] = {name: getattr(self, name) for name in _STATE}
        return {**tensors, "clustered": self.clustered}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Load what `get_extra_state` returned.

        Raises:
            ValueError: It belongs to another data set or to other options.
        """
        for name in _STATE:
            own, saved = getattr(self, name), state[name]
            if saved.shape != own.shape:
                raise ValueError(
                    f"the saved memory has {name} of {' x '.join(map(str, saved.shape))} numbers, "
                    f"expected {' x '.join(map(str, own.shape))}"
                )
            # A copy: the other memory may still be in use.
            setattr(self, name, saved.to(own, copy=True))
        self.clustered = state["clustered"]

    def _move_to(self, device: torch.device) -> None:
        for name in _STATE:
            setattr(self, name, getattr(self, name).to(device))
