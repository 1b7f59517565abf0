"""The staircase of HYPE-time: the exposure goes down after a right answer and up after a wrong one.

Steps of 10 ms down and 30 ms up are at rest where 10 p = 30 (1 - p): at p = 75 % right (Kaernbach 1991;
Zhou et al. 2019, section 3).
"""

from collections import Counter
from collections.abc import Iterable
from statistics import mean

from mien.study.design import HypeTime


def next_exposure(task: HypeTime, exposure_ms: float | None, correct: bool) -> float:
    """Exposure of the next trial in ms. exposure_ms: of the last one, None at the start of a block."""
    if exposure_ms is None:
        return task.start_ms
    changed = exposure_ms - task.down_ms if correct else exposure_ms + task.up_ms
    return min(max(changed, task.shortest_ms), task.longest_ms)


def modal_exposure(exposures_ms: Iterable[float]) -> float:
    """The exposure that a block asked for most often, in ms; of several equally frequent ones, their mean."""
    counts = Counter(exposures_ms)
    most = max(counts.values())
    return mean(exposure for exposure, count in counts.items() if count == most)


def rest_point(task: HypeTime) -> float:
    """The share of right answers at which the staircase goes neither up nor down."""
    return task.up_ms / (task.up_ms + task.down_ms)
