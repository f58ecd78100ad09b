"""The measured speed of reading images. No torch here."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class ReadingSpeed:
    """What reading some images took, in one process on one CPU.

    Attributes:
        images: Images that were read.
        disk: Seconds an image for reading its file; 0 if images are not files.
        decode: Seconds an image for decoding, or for all of the loading if images are not files.
        views: Seconds an image for cropping and resizing its views.
        megapixels: Mean size of the images.
        kilobytes: Mean size of the files; 0 if images are not files.
        cold: Whether the system was asked to forget the files before they were read.
        unreadable: Name and reason of the images that cannot be read.
    """

    images: int
    disk: float
    decode: float
    views: float
    megapixels: float
    kilobytes: float
    cold: bool
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds an image."""
        return self.disk + self.decode + self.views

    @property
    def per_second(self) -> float:
        """Images a second of one process."""
        return 1 / self.seconds

    def percent(self, seconds: float) -> str:
        """Return the fraction of the time that a part takes, as text."""
        return f"{100 * seconds / self.seconds:.0f} %"
