"""Pictures through a network, one by one: what `mien translate`, `mien denoise` and `mien refine` share."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien import TOOL
from mien.core.errors import InputError, make_squares, want_folder
from mien.core.events import Events, Tick
from mien.core.image import resize as resized
from mien.core.image import to_float, to_hwc, to_uint8
from mien.core.labels import Label
from mien.core.packed import PackReader, PackWriter
from mien.core.picture import PICTURE_SUFFIXES, BadPicture, Pixels, decode, read_bytes
from mien.core.provenance import Provenance, SourceType, encode_picture, save_picture
from mien.core.types import Spec
from mien.datasets.header import FORMATS
from mien.datasets.opening import open_dataset

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Input:
    """One picture. name: unique, relative, with "/". where: for messages.

    read: uint8 [H, W, 3], raises BadPicture. size: from the header alone; None where it cannot be told.
    label, record: what a dataset knows of it.
    """

    name: str
    where: str
    read: Callable[[], Pixels]
    size: Callable[[], Size | None]
    label: Label | None = None
    record: Mapping[str, Any] | None = None


class Inputs(NamedTuple):
    """pictures: in the order given; of a folder or zip sorted by name. class_names: of the labels."""

    pictures: tuple[Input, ...]
    class_names: tuple[str, ...] = ()


def open_inputs(sources: Sequence[str], *, progress: Tick | None = None) -> Inputs:
    """List what is to be read: one dataset with its labels and records, or any number of files and folders.

    Raises InputError for what does not exist, for a source without pictures, for a dataset beside others.
    """
    if not sources:
        raise InputError("say which pictures: files, a folder, a zip, or a dataset like rendered:100")
    if len(sources) == 1 and not Path(sources[0]).exists():
        return _of_dataset(sources[0], progress)
    pictures: list[Input] = []
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise InputError(f"{source}: there is no such file or folder")
        if path.is_dir() or path.suffix.lower() not in PICTURE_SUFFIXES:
            pack = PackReader(path)
            if len(sources) == 1:
                return _of_pack(pack)
            pictures += _of_pack(pack).pictures
        else:
            pictures.append(
                Input(path.name, str(path), partial(_decoded, path, str(path)), partial(_size, path))
            )
    return Inputs(tuple(pictures))


def _of_pack(pack: PackReader) -> Inputs:
    pictures = []
    for index, name in enumerate(pack.names):
        where = f"{pack.path}: {name}"
        data = partial(pack.read, index)
        label = None if pack.labels is None else pack.labels[index]
        record = pack.records[index] or None
        read, size = partial(_decoded, data, where), partial(_size, data)
        pictures.append(Input(name, where, read, size, label, record))
    return Inputs(tuple(pictures), pack.class_names)


def _of_dataset(source: str, progress: Tick | None) -> Inputs:
    dataset = open_dataset(source, progress=progress)
    side = dataset.spec.resolution

    def read(index: int) -> Pixels:
        pixels = dataset.images(np.array([index]))[0].transpose(1, 2, 0)
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))

    labels = dataset.labels
    pictures = tuple(
        Input(
            f"{index:08d}.png",
            f"{source}: picture {index}",
            partial(read, index),
            lambda: (side, side),
            None if labels is None else tuple(map(float, labels[index])),
            record or None,
        )
        for index, record in enumerate(dataset.records)
    )
    return Inputs(pictures, dataset.spec.class_names)


def _decoded(source: Path | Callable[[], bytes], where: str) -> Pixels:
    return decode(source if isinstance(source, Path) else source(), where=where).pixels


def _size(source: Path | Callable[[], bytes]) -> Size | None:
    """Width and height as the header has them, turned upright."""
    try:
        data = read_bytes(source) if isinstance(source, Path) else source()
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, InputError):
        return None  # reading it will say what is wrong
    return (height, width) if turned else (width, height)


_CPU = torch.device("cpu")
_BATCH = 32
_NAMED = 5


@dataclass(frozen=True)
class Operation:
    """What is done to pictures. change: float [N, C, H, W] in [-1, 1] -> the same shape.

    spec: of the pictures that it takes. model: its id, for the mark in every picture. resize: bring square
    pictures to that size; any_size: take pictures of any size as they are. advice: to who has other sizes, in
    place of the usual.
    """

    change: Callable[[Tensor], Tensor]
    spec: Spec
    model: str
    source_type: SourceType = SourceType.TRAINED
    resize: bool = False
    any_size: bool = False
    device: torch.device = _CPU
    advice: str = ""


class Transformed(NamedTuple):
    """written: pictures. problems: one line for each input that gave none."""

    written: int
    problems: tuple[str, ...]


def transform(
    sources: Sequence[str], out: Path, op: Operation, *, progress: Tick | None = None
) -> Transformed:
    """Change the pictures of `sources` (`open_inputs`) into `out`: a folder of PNGs under the inputs' names,
    or, where it ends in .zip, a packed dataset with every label and record of the inputs.

    A picture that cannot be read costs that picture. Raises InputError, before anything is written, for a
    picture of another size than `op` takes, and where nothing could be read.
    """
    inputs = open_inputs(sources, progress=progress)
    _check_sizes(inputs.pictures, op)
    _check_place(sources, out)
    write = _write_zip if out.suffix.lower() == ".zip" else _write_folder
    done = write(inputs, out, op, progress)
    if not done.written:
        raise InputError(f"nothing could be read: {'; '.join(done.problems[:_NAMED])}")
    return done


def transform_inputs(
    events: Events, doing: str, inputs: str | Sequence[str], out: Path, op: Operation
) -> Transformed:
    """`transform` for a job: with its progress, every input that was left out, and how many were written.

    doing: "denoising", for the progress bar.
    """
    sources = (inputs,) if isinstance(inputs, str) else tuple(map(str, inputs))
    done = transform(sources, out, op, progress=events.progress(doing))
    for problem in done.problems:
        events.warn(f"left out: {problem}")
    events.note(f"wrote {done.written} picture(s) to {out}")
    return done


def _write_folder(inputs: Inputs, out: Path, op: Operation, progress: Tick | None) -> Transformed:
    names = _unique([picture.name for picture in inputs.pictures])
    written, problems = 0, []
    for name, (_, result) in zip(names, _results(inputs.pictures, op, progress), strict=True):
        if isinstance(result, BadPicture):
            problems.append(str(result))
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        save_picture(out / name, result, _mark(op))
        written += 1
    return Transformed(written, tuple(problems))


def _write_zip(inputs: Inputs, out: Path, op: Operation, progress: Tick | None) -> Transformed:
    problems = []
    with PackWriter(out, class_names=inputs.class_names) as pack:
        for picture, result in _results(inputs.pictures, op, progress):
            record = {"source": picture.name, **(picture.record or {})}
            if isinstance(result, BadPicture):
                problems.append(str(result))
                pack.add_record({**record, "reason": result.reason, "detail": result.detail})
            else:
                png = encode_picture(result, ".png", _mark(op))
                pack.add_png(png, picture.label, {**record, "made_by": op.model})
        if not len(pack):
            raise InputError(f"nothing could be read: {'; '.join(problems[:_NAMED])}")
        written = len(pack)
    return Transformed(written, tuple(problems))


def _results(
    pictures: Sequence[Input], op: Operation, progress: Tick | None
) -> Iterator[tuple[Input, Pixels | BadPicture]]:
    """Each picture, in order, with its result or why it has none; those of one size go through together."""
    waiting: list[tuple[Input, Pixels]] = []
    for number, picture in enumerate(pictures, 1):
        try:
            pixels = _fitted(picture, op)
        except BadPicture as error:
            yield from _changed(waiting, op)
            waiting = []
            yield picture, error
        else:
            if waiting and (len(waiting) == _BATCH or pixels.shape != waiting[0][1].shape):
                yield from _changed(waiting, op)
                waiting = []
            waiting.append((picture, pixels))
        if progress:
            progress(number, len(pictures))
    yield from _changed(waiting, op)


def _changed(waiting: Sequence[tuple[Input, Pixels]], op: Operation) -> Iterator[tuple[Input, Pixels]]:
    if not waiting:
        return
    pixels = np.stack([image.transpose(2, 0, 1) for _, image in waiting])
    images = to_float(torch.from_numpy(pixels).to(op.device)).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        changed = to_uint8(op.change(images)).cpu()
    for (picture, _), image in zip(waiting, changed, strict=True):
        yield picture, to_hwc(image)


def _fitted(picture: Input, op: Operation) -> Pixels:
    """uint8 [H, W, C] as `op` takes it. Raises BadPicture, also where the header lied about the size."""
    pixels = picture.read()
    height, width = pixels.shape[:2]
    if not op.any_size and not _fits((width, height), op):
        raise BadPicture(picture.where, "wrong-size", f"it is {width}x{height}")
    if op.spec.channels == 1:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    return pixels if op.any_size or width == op.spec.resolution else resized(pixels, op.spec.resolution)


def _check_sizes(pictures: Sequence[Input], op: Operation) -> None:
    if op.any_size:
        return
    sizes = ((picture, picture.size()) for picture in pictures)
    wrong = [(picture, size) for picture, size in sizes if size is not None and not _fits(size, op)]
    if wrong:
        named = ", ".join(f"{picture.where} ({w}x{h})" for picture, (w, h) in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        side = op.spec.resolution
        square = any(width == height for _, (width, height) in wrong)
        usual = "--resize takes other squares" if square else f"cut them square: {make_squares(side)}"
        raise InputError(f"{op.model} takes pictures of {side}x{side}: {named}{more}; {op.advice or usual}")


def _fits(size: Size, op: Operation) -> bool:
    return size[0] == size[1] if op.resize else size == (op.spec.resolution, op.spec.resolution)


def _check_place(sources: Sequence[str], out: Path) -> None:
    """Results take the inputs' names, so they must not fall upon them."""
    if out.suffix.lower() != ".zip":
        want_folder(out, ", or a name ending in .zip")
    here = out.resolve()
    for source in sources:
        path = Path(source).resolve()
        if path.exists() and here in (path, path.parent if path.is_file() else path):
            raise InputError(f"--out {out}: the inputs lie there, and results take their names; go elsewhere")


def _unique(names: Sequence[str]) -> list[str]:
    """Each name with .png for its suffix; where that would make two alike, added to it; then numbered."""
    short = [PurePosixPath(name).with_suffix(".png").as_posix() for name in names]
    count_of = Counter(short)
    long = [f"{name}.png" if count_of[s] > 1 else s for name, s in zip(names, short, strict=True)]
    counts: dict[str, int] = {}
    result = []
    for name in long:
        count = counts[name] = counts.get(name, 0) + 1
        result.append(name if count == 1 else f"{name.removesuffix('.png')}-{count}.png")
    return result


def _mark(op: Operation) -> Provenance:
    return Provenance(op.model, None, TOOL, op.source_type)
