"""A clock for tests of what waits."""


class Clock:
    """Takes the place of the module `time`. Time passes only where it is waited for."""

    def __init__(self):
        self.now, self.looks = 100.0, 0

    def monotonic(self):
        self.looks += 1
        if self.looks > 1000:
            raise AssertionError("waits without sleeping")
        return self.now

    def sleep(self, seconds):
        self.now += seconds
