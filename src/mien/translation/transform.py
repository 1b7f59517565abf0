"""Pictures through a network: what `mien translate`, `mien denoise` and `mien refine` share."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien import TOOL
from mien.core.errors import InputError, make_squares
from mien.core.events import Events, Tick
from mien.core.image import resize as resized
from mien.core.image import to_float, to_hwc, to_uint8
from mien.core.packed import PackWriter
from mien.core.picture import BadPicture, Pixels
from mien.core.provenance import Provenance, SourceType, encode_picture, save_picture
from mien.core.types import Spec
from mien.translation.inputs import Input, Inputs, Size, open_inputs

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


class _Result(NamedTuple):
    """pixels: None, with a problem, where the input could not be read."""

    picture: Input
    pixels: Pixels | None
    problem: BadPicture | None = None


def _write_folder(inputs: Inputs, out: Path, op: Operation, progress: Tick | None) -> Transformed:
    names = _unique([picture.name for picture in inputs.pictures])
    written, problems = 0, []
    for name, result in zip(names, _results(inputs.pictures, op, progress), strict=True):
        if result.pixels is None:
            problems.append(str(result.problem))
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        save_picture(out / name, result.pixels, _mark(op))
        written += 1
    return Transformed(written, tuple(problems))


def _write_zip(inputs: Inputs, out: Path, op: Operation, progress: Tick | None) -> Transformed:
    problems = []
    with PackWriter(out, class_names=inputs.class_names) as pack:
        for picture, pixels, problem in _results(inputs.pictures, op, progress):
            record = {"source": picture.name, **(picture.record or {})}
            if pixels is None:
                problems.append(str(problem))
                assert problem is not None
                pack.add_record({**record, "reason": problem.reason, "detail": problem.detail})
                continue
            pack.add_png(
                encode_picture(pixels, ".png", _mark(op)),
                picture.label,
                {**record, "made_by": op.model},
            )
        if not len(pack):
            raise InputError(f"nothing could be read: {'; '.join(problems[:_NAMED])}")
        written = len(pack)
    return Transformed(written, tuple(problems))


def _results(pictures: Sequence[Input], op: Operation, progress: Tick | None) -> Iterator[_Result]:
    """One result for each picture, in order; pictures of one size go through together."""
    waiting: list[tuple[Input, Pixels]] = []
    for number, picture in enumerate(pictures, 1):
        try:
            pixels = _fitted(picture, op)
        except BadPicture as error:
            yield from _changed(waiting, op)
            waiting = []
            yield _Result(picture, None, error)
        else:
            if waiting and (len(waiting) == _BATCH or pixels.shape != waiting[0][1].shape):
                yield from _changed(waiting, op)
                waiting = []
            waiting.append((picture, pixels))
        if progress:
            progress(number, len(pictures))
    yield from _changed(waiting, op)


def _changed(waiting: Sequence[tuple[Input, Pixels]], op: Operation) -> Iterator[_Result]:
    if not waiting:
        return
    pixels = np.stack([image.transpose(2, 0, 1) for _, image in waiting])
    images = to_float(torch.from_numpy(pixels).to(op.device)).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        changed = to_uint8(op.change(images)).cpu()
    for (picture, _), image in zip(waiting, changed, strict=True):
        yield _Result(picture, to_hwc(image))


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
