"""Which numbers of a file of ours make its networks: what training that begins with it takes over."""

from types import ModuleType
from typing import Any

from pydantic import ValidationError

from mien.core import discover
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.family import shapes_of
from mien.core.types import Spec

# What changes the arithmetic of a network of ours, and no tensor's shape or name.
CONVENTIONS = {"stddev_group", "w_average_decay", "conv_clamp", "resample_filter"}
CONVENTIONS |= {"bf16_blocks", "bf16_stages"}


def numbers_of(header: NetworkHeader) -> dict[str, Any]:
    """The numbers of a file of ours that make its networks, without those that say how it was trained.

    Raises InputError where its configuration is none of its family's.
    """
    family = discover.load("mien.models", header.family)
    try:
        config = family.Config(**header.config)
    except (ValidationError, TypeError) as error:
        raise InputError(f"its configuration is not that of a {header.family} of this version") from error
    whole = _shapes(family, config, header.spec)

    def decides(name: str, value: Any) -> bool:
        others = {getattr(preset, name) for preset in family.PRESETS.values()} - {value}
        changed = (config.model_copy(update={name: other}) for other in others)
        return name in CONVENTIONS or any(_shapes(family, one, header.spec) != whole for one in changed)

    return {name: value for name, value in config.model_dump().items() if decides(name, value)}


def _shapes(family: ModuleType, config: Any, spec: Spec) -> dict[str, tuple[int, ...]] | None:
    """Shapes by name of all networks of a family; None where these numbers make none."""
    try:
        return shapes_of(family, config, spec)
    except (InputError, RuntimeError, ValueError):
        return None
