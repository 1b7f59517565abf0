"""The generators that come with the package, and their names.

They lie in `mien/assets`: `NAME.safetensors`, the discriminator that it was trained against as
`NAME.discriminator.safetensors`, its card `NAME.md`, perhaps
an encoder, directions and detectors of synthetic faces as `NAME.encoder`, `NAME.directions` and
`NAME.detector`. Imports nothing heavy.
"""

from importlib import resources
from pathlib import Path

from mien.core.atomic import file_sha256
from mien.core.errors import InputError

DEFAULT = "faces-64"
ALIAS = "packaged"  # the default by a name that later versions keep
MOST_BYTES = 20_000_000  # of all assets
_SUFFIX = ".safetensors"
_DISCRIMINATOR = ".discriminator"
_ENCODER = ".encoder"
# What else lies there, by the end of its stem.
_BESIDE = (_DISCRIMINATOR, _ENCODER, ".directions", ".detector")


def folder() -> Path:
    """Where the assets are; it need not exist."""
    assets = resources.files("mien") / "assets"
    return assets if isinstance(assets, Path) else Path("/nonexistent")  # inside a zip: as if there were none


def names() -> tuple[str, ...]:
    """The models here, the default first; () where the package has none."""
    stems = (path.stem for path in folder().glob(f"*{_SUFFIX}"))
    generators = (stem for stem in stems if not stem.endswith(_BESIDE))
    return tuple(sorted(generators, key=lambda name: (name != DEFAULT, name)))


def path_of(name: str) -> Path:
    """The file of the generator that the package has as `name`."""
    return folder() / f"{name}{_SUFFIX}"


def discriminator_of(name: str) -> Path:
    """The file of the discriminator that goes with it; it may be absent."""
    return folder() / f"{name}{_DISCRIMINATOR}{_SUFFIX}"


def encoder_of(name: str) -> Path:
    """The file of the encoder that finds its latents; it may be absent."""
    return folder() / f"{name}{_ENCODER}{_SUFFIX}"


def card_of(name: str) -> Path:
    """Its model card; it may be absent."""
    return folder() / f"{name}.md"


def source_of(source: Path | None) -> Path:
    """Where to draw from: `source`, or the packaged generator for None and where `source` is its name.

    A file or folder of that name goes first. Raises InputError where the package has none.
    """
    if source is not None and (named(source) is None or source.exists()):
        return source
    path = path_of(DEFAULT if source is None else named(source) or DEFAULT)
    if not path.is_file():
        raise InputError(
            f"this copy of mien comes without the model {path.stem}; name a run folder or a generator file,"
            " or make one: mien demo"
        )
    return path


def named(source: Path) -> str | None:
    """The packaged model that `source` names ("packaged", "faces-64"), here or not; None for any other."""
    text = str(source)
    if text in (ALIAS, DEFAULT):
        return DEFAULT
    return text if text in names() else None


def name_of(path: Path) -> str | None:
    """The name of the packaged generator whose file `path` is; None for any other file."""
    return next((name for name in names() if path.resolve() == path_of(name).resolve()), None)


def name_of_model(model: str) -> str | None:
    """The packaged generator that a picture's mark names by its id ("lite-0123456789ab"), or None."""
    digest = model.rpartition("-")[2]
    known = names() if len(digest) == 12 else ()
    return next((name for name in known if file_sha256(path_of(name)).startswith(digest)), None)
