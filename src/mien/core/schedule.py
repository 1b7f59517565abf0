"""Numbers that move over a training budget."""

import math


def cosine(start: float, end: float, fraction: float) -> float:
    """From `start` to `end` along half a cosine; `fraction` of the way in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
