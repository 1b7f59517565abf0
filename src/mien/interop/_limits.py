"""How much reading a file of a given size may take."""

from dataclasses import dataclass

_MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """memory: bytes on top of the interpreter and its libraries. cpu_seconds, wall_seconds: of reading.

    written: bytes of the largest file written.
    """

    memory: int
    cpu_seconds: float
    wall_seconds: float
    written: int

    @classmethod
    def of(cls, size: int) -> "Limits":
        """For a file of `size` bytes.

        An honest file is held four times at most: mapped, as bytes, as tensors, copied for writing. Small
        hostile ones stay under 2 GB (the libraries take about 0.25) and 10 seconds whatever they declare.
        """
        megabytes = size / _MB
        return cls(
            memory=1536 * _MB + 4 * size,
            cpu_seconds=6 + megabytes / 25,
            wall_seconds=10 + megabytes / 5,
            written=64 * _MB + 2 * size,
        )
