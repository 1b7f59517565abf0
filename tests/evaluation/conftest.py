"""The feature network of these tests is narrow, and built once a worker."""

import functools
from collections.abc import Iterator

import pytest

from mien.metrics.features import vgg_random
from narrow import narrow_vgg

_build = functools.cache(vgg_random.build)  # called while it is narrow alone


@pytest.fixture(scope="module", autouse=True)
def _narrow_random_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg_random, "_vgg", narrow_vgg)
        patch.setattr(vgg_random, "build", _build)
        yield
