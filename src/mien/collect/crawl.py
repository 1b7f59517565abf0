"""What the parts of one crawl share: the site, the folder, the hosts, the pace, and when it is to end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from mien.collect.addresses import Hosts
from mien.collect.pace import Pace
from mien.collect.site import Site
from mien.collect.store import Store


@dataclass
class Crawl:
    """One crawl; Scrapy's middlewares find it in the settings as `MIEN_CRAWL`.

    max_pictures: new ones. ends: `time.monotonic()` at which it stops. blocked: host -> the private address
    that it led to. stopped: why it ended early, or "".
    """

    site: Site
    store: Store
    hosts: Hosts
    pace: Pace
    max_pictures: int
    ends: float
    progress: Callable[[int, int], None] | None = None
    should_stop: Callable[[], bool] | None = None
    blocked: dict[str, str] = field(default_factory=dict)
    known: int = 0
    num_pages: int = 0
    stopped: str = ""
    closing: bool = False
    failure: BaseException | None = None

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Scrapy copies its settings deeply, but this is shared

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends - time.monotonic())
