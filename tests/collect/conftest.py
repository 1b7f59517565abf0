"""Ends the process that the crawls of these tests are forked from."""

from collections.abc import Iterator

import pytest
from loopback import Crawl


@pytest.fixture(scope="session", autouse=True)
def _no_crawler_is_left() -> Iterator[None]:
    yield
    Crawl.end()
