"""`mien import`: networks of other programs, shown and turned into files of ours; nothing in them is run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mien import TOOL
from mien.core.atomic import file_sha256
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.types import Spec
from mien.interop import dcgan, lite, nvlabs, r3gan, rosinality, sandbox
from mien.interop._facts import Contents, FileFacts, NetworkFacts
from mien.interop._network import Network, fitted, joined

_ALL = ("G_ema", "G", "D")
_WIDE = 400  # characters of arguments shown


@dataclass(frozen=True)
class Imported:
    """A file of ours that was made of a foreign one. notes: sentences on what was not carried over."""

    path: Path
    header: NetworkHeader
    notes: tuple[str, ...]
    discriminator: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A generator with the discriminator that it was trained against, if there is one.

    header: of the generator; its configuration is that of both. numbers: those of the configuration that the
    file decides, sizes and conventions. g: the generator as it was trained; average: its average; each stands
    in for the other where the file has one alone. notes: as in `Imported`.
    """

    header: NetworkHeader
    numbers: Mapping[str, Any]
    g: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    d: Mapping[str, Tensor] | None
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The family of ours that can hold it."""
        return self.header.family

    @property
    def spec(self) -> Spec:
        """What it draws."""
        return self.header.spec


@job
def import_(
    events: Events,
    source: Path,
    out: Path | None = None,
    /,
    *,
    network: Literal["G_ema", "G", "D"] | None = None,
    info: bool = False,
) -> Imported | None:
    """Turn a network of another program into a file of ours; nothing in it is executed.

    Read are StyleGAN2 pickles of stylegan2-ada-pytorch and stylegan3, R3GAN's, rosinality's .pt, the DCGAN of
    PyTorch's tutorial, and state dicts of their networks alone. Returns what was written, None with `info`.
    Raises InputError where the file is damaged, hostile or does not fit.

    Parameters
    ----------
    source
        A .pkl, .pt or .pth file, or a .safetensors file of another program.
    out
        The .safetensors file to write; beside the source by default.
    network
        Write this network alone; by default the averaged generator (G_ema), else the generator (G), and the
        discriminator beside it, for mien train --from.
    info
        Only show what the file holds.
    """
    contents = None if info else read(source, network)
    for line in describe(source, contents):
        events.note(line)
    if contents is None:
        return None
    imported = _save(source, contents, out, alone=network is not None)
    for note in imported.notes:
        events.note(f"note: {note}")
    spec = imported.header.spec
    size = f"{spec.resolution} px" + (f", {spec.label_dim} labels" if spec.label_dim else "")
    events.wrote(imported.path, f"{imported.header.family}, {size}")
    if imported.discriminator is not None:
        events.wrote(imported.discriminator, "its discriminator")
    return imported


def read(source: Path, network: str | None = None) -> Contents:
    """What a checkpoint holds, with the tensors of its networks.

    network: "G_ema", "G" or "D" for one alone; by default all. Raises InputError.
    """
    return sandbox.read(source, (network,) if network else _ALL)


def describe(source: Path, contents: Contents | None = None) -> list[str]:
    """What a checkpoint holds, in lines: class, arguments, sizes and the hash of the embedded source."""
    return list(_lines(source, (contents or sandbox.read(source)).facts))


def read_pair(source: Path, contents: Contents | None = None) -> Pair:
    """Generator and discriminator of a checkpoint. Raises InputError where there is no generator that fits.

    contents: what was read of it, if that has been done.
    """
    contents = contents or read(source)
    keys = [key for key in ("G_ema", "G") if key in contents.weights]
    if not keys:
        raise InputError(
            f"{source}: it holds a discriminator alone, which draws nothing and begins no run; take"
            " the file with its generator (mien import --network D makes a file of ours of it)"
        )
    converted = [_converted(source, contents, key) for key in keys]
    average, g = converted[0], converted[-1]
    d, note = _discriminator(contents, average)
    header = _header(source, contents, keys[0], average)
    if d is not None:
        header = header.model_copy(update={"config": d.config})
    notes = (*average.notes, note) if note else average.notes
    numbers = average.numbers if d is None else {**d.numbers, **average.numbers}
    return Pair(header, numbers, g.tensors, average.tensors, None if d is None else d.tensors, notes)


def convert(contents: Contents, key: str) -> Network:
    """The network `key` for one of our families. Raises InputError where none can hold it."""
    facts, tensors = contents.facts.networks[key], contents.weights[key]
    is_d = key == "D"
    if rosinality.is_rosinality(tensors):
        return rosinality.discriminator(tensors) if is_d else rosinality.generator(tensors)
    if r3gan.is_r3gan(tensors):
        return r3gan.discriminator(facts, tensors) if is_d else r3gan.generator(facts, tensors)
    if dcgan.is_dcgan(tensors):
        return dcgan.discriminator(tensors) if is_d else dcgan.generator(tensors)
    if lite.is_lite(tensors):
        return lite.discriminator(tensors) if is_d else lite.generator(tensors)
    return nvlabs.discriminator(facts, tensors) if is_d else nvlabs.generator(facts, tensors)


def _save(source: Path, contents: Contents, out: Path | None, *, alone: bool) -> Imported:
    """Write the network that was read of `source` as a file of ours; out: None for beside the source.

    With a generator its discriminator is written too, as NAME.discriminator.safetensors, which
    `mien train --from` finds; alone: without.
    """
    path = source.with_suffix(".safetensors") if out is None else out
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: what is imported is written as .safetensors")
    if alone:
        (key,) = contents.weights
        network = _converted(source, contents, key)
        header = _header(source, contents, key, network)
        save_generator(path, network.tensors, header)
        return Imported(path, header, network.notes)
    pair = read_pair(source, contents)
    save_generator(path, pair.average, pair.header)
    if pair.d is None:
        return Imported(path, pair.header, pair.notes)
    beside = path.with_name(path.stem + ".discriminator.safetensors")
    save_generator(beside, pair.d, pair.header.model_copy(update={"kind": "discriminator"}))
    return Imported(path, pair.header, pair.notes, beside)


def _converted(source: Path, contents: Contents, key: str) -> Network:
    try:
        return convert(contents, key)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _header(source: Path, contents: Contents, key: str, network: Network) -> NetworkHeader:
    facts = contents.facts
    name = facts.networks[key].full_name
    return NetworkHeader(
        kind=network.kind,
        family=network.family,
        config=network.config,
        spec=network.spec,
        nimg=_nimg(facts.other),
        tool=TOOL,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=f"{key} ({name}) of {source.name}, sha256 {file_sha256(source)}",
    )


def _discriminator(contents: Contents, g: Network) -> tuple[Network | None, str]:
    """The discriminator, with the configuration of both, or why there is none."""
    if "D" not in contents.weights:
        return None, ""
    try:
        d = convert(contents, "D")
        if d.spec.label_dim != g.spec.label_dim:
            raise InputError(f"it takes {d.spec.label_dim} labels and its generator {g.spec.label_dim}")
        numbers = joined(g, d)
        fitted(g.family, g.kind, numbers, g.spec, g.tensors)  # both must fit one configuration
        return fitted(d.family, d.kind, numbers, g.spec, d.tensors), ""
    except InputError as error:
        return None, f"its discriminator cannot be used ({error})"


def _nimg(other: Mapping[str, Any]) -> int:
    """Images it was trained on, where the file says so (R3GAN's do)."""
    value = other.get("cur_nimg")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _lines(path: Path, facts: FileFacts) -> Iterator[str]:
    yield f"{path}: {path.stat().st_size / 1e6:,.1f} MB, sha256 {file_sha256(path)}"
    for key, network in facts.networks.items():
        yield from _network_lines(key, network)
    if facts.other:
        yield _printable(f"also: {_words(facts.other)}")


def _network_lines(key: str, network: NetworkFacts) -> Iterator[str]:
    yield _printable(
        f"{key}: {network.full_name}, {network.numbers:,} numbers in {network.tensors:,} tensors"
    )
    if network.arguments:
        yield _printable(f"  arguments: {_words(network.arguments)}")
    for source in network.sources:
        yield f"  embedded source (not run): sha256 {source}"


def _words(values: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    return text if len(text) <= _WIDE else text[:_WIDE] + " ..."


def _printable(text: str) -> str:
    """Without what could steer a terminal: the text is the file's."""
    return "".join(char if char.isprintable() else "?" for char in text)
