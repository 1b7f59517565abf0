"""One person and a plain shot, shared by the tests of the renderer."""

from dataclasses import replace

import pytest

from mien.render.person import Person, sample_person
from mien.render.shot import Shot


@pytest.fixture(scope="session")
def person() -> Person:
    """Clean-shaven, short hair, mean proportions: nothing hides the face."""
    return replace(sample_person(3), beard="none", hair_style="crop", receding=0.0, wave=0.0)


@pytest.fixture(scope="session")
def plain() -> Shot:
    """Front view, neutral, no noise."""
    return Shot(seed=1, noise=0.0, collar="crew")
