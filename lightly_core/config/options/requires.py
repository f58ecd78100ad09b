"""Requirements of a method on the views, the batch and the backbone. No torch here."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define

#: Smallest and largest number; None: no upper limit.
Bounds = tuple[int, int | None]


def exactly(number: int) -> Bounds:
    """Return bounds that allow this number only."""
    return number, number


def at_least(number: int) -> Bounds:
    """Return bounds without an upper limit."""
    return number, None


def bounds_text(bounds: Bounds) -> str:
    """Return the text for bounds: ``2``, ``at least 2`` or ``2 to 4``."""
    low, high = bounds
    if high is None:
        return f"at least {low}"
    return f"{low}" if low == high else f"{low} to {high}"


@define(frozen=True, kw_only=True)
class Requires:
    """Requirements of a method. They are checked before a run writes anything, and in a dry run.

    Attributes:
        global_views: Allowed numbers of global views of an image, see `exactly` and `at_least`.
        local_views: Whether the method uses local views, which are smaller crops.
        images: Fewest images in a batch over all processes: 2 for methods that compare images.
        images_per_process: Fewest images in the batch of one process: 2 where a batch norm of the
            method's own heads needs more than one.
        capability: Name of a capability that the backbone must have, such as ``tokens``; see
            `lightly_core.contracts.capabilities`.
        needed_by: Option that needs the capability, if the method as a whole does not.
        whole_patches: Whether the sides of a global view must be multiples of the patch size.
            Implies the capability ``tokens``.
        crops: Whether the method needs `Batch.crops`, the position of each view in its image.
    """

    global_views: Bounds = (1, None)
    local_views: bool = False
    images: int = 1
    images_per_process: int = 1
    capability: str | None = None
    needed_by: str = ""
    whole_patches: bool = False
    crops: bool = False

    def view_problems(self, method: str, num_global: int, num_local: int) -> Iterator[str]:
        """Yield the problems with the number of views of an image."""
        low, high = self.global_views
        if num_global < low or (high is not None and num_global > high):
            yield (
                f"config.transform_args.num_views: method '{method}' takes "
                f"{bounds_text(self.global_views)} global view{'s' * (high != 1)}, got {num_global}"
            )
        if num_local and not self.local_views:
            yield (
                f"config.transform_args.local_view: method '{method}' takes no local views, got "
                f"{num_local}; set transform_args.local_view=null"
            )

    def batch_problems(self, method: str, batch_size: int, num_processes: int) -> Iterator[str]:
        """Yield the problems with the number of images in a batch over all processes."""
        fewest = max(self.images, self.images_per_process * num_processes)
        if batch_size < fewest:
            processes = "1 process" if num_processes == 1 else f"{num_processes} processes"
            yield (
                f"config.batch_size: method '{method}' needs at least {fewest} images in a batch "
                f"with {processes}, got {batch_size}; it compares the images of a batch, and 256 "
                "or more work well; set a larger batch_size, or add images if the data has fewer"
            )

    def run_problems(
        self, method: str, *, num_global: int, batch_size: int, num_processes: int
    ) -> list[str]:
        """Return all problems with the global views and the batch of a run."""
        return [
            *self.view_problems(method, num_global, 0),
            *self.batch_problems(method, batch_size, num_processes),
        ]

    def sentences(self) -> Iterator[str]:
        """Yield one sentence for each requirement, for the docs and `lightly methods`."""
        yield f"Global views of an image: {bounds_text(self.global_views)}."
        yield f"Local views: {'allowed' if self.local_views else 'none'}."
        if self.images > 1:
            yield f"Images in a batch: at least {self.images}."
        if self.images_per_process > 1:
            yield f"Images in the batch of a process: at least {self.images_per_process}."
        if self.capability or self.whole_patches:
            yield f"Capability of the backbone: {self.capability or 'tokens'}."
        if self.whole_patches:
            yield "Sides of the global views: multiples of the patch size."
        if self.crops:
            yield "Position of each view in its image; random_rotation is refused."
