"""Built once a worker: the random feature network, whose 23 million weights take a third of a second."""

import functools
from collections.abc import Iterator

import pytest

from mien.metrics.features import vgg_random


@pytest.fixture(scope="package", autouse=True)
def _one_random_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg_random, "build", functools.cache(vgg_random.build))
        yield
