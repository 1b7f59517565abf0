"""Films as MP4 (H.264; needs the extra `video`, PyAV) or animated WebP, with the mark in them."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from mien.core.atomic import replacing
from mien.core.errors import InputError, MienError, install
from mien.core.events import Tick
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, packet, save_animation, xmp_box

_QUALITY = "18"  # x264's constant rate factor: hardly distinguishable from the original
_BT709, _LIMITED = 1, 1  # of the colours, so that players need not guess
_MOST_SIDE = 8192


def check_film(width: int, height: int) -> None:
    """Refuse, before anything is drawn, sizes that H.264 cannot hold and a machine without PyAV."""
    _av()
    size = f"{width}x{height}: an .mp4 has"
    if width % 2 or height % 2:
        raise InputError(f"{size} even sides; choose --size so, or write a .webp")
    if max(width, height) > _MOST_SIDE:
        raise InputError(f"{size} sides of at most {_MOST_SIDE}; choose a smaller --size")


def write_film(path: Path, frames: Iterable[Pixels], provenance: Provenance, *, fps: int) -> int:
    """Write uint8 [H, W, 3] frames of one even size and return how many; whole or not at all.

    The mark is in the XMP box, and in words in title and comment. Raises InputError, MienError.
    """
    av = _av()
    with replacing(path) as temporary:
        try:
            count = _encode(av, temporary, frames, provenance, fps)
        except av.FFmpegError as error:
            raise MienError(f"{path}: the film could not be written ({error.strerror})") from error
        with open(temporary, "ab") as file:
            file.write(xmp_box(packet(provenance)))
    return count


def save_film(
    path: Path, frames: Iterable[Pixels], total: int, provenance: Provenance, *, fps: int, tick: Tick
) -> None:
    """Write a film as MP4, or as animated WebP where the name says so. tick: after each of `total` frames."""

    def counted() -> Iterator[Pixels]:
        for done, frame in enumerate(frames, start=1):
            yield frame
            tick(done, total)

    if path.suffix.lower() == ".mp4":
        write_film(path, counted(), provenance, fps=fps)
    else:
        save_animation(path, list(counted()), provenance, milliseconds=max(1, round(1000 / fps)))


def _encode(av: ModuleType, path: Path, frames: Iterable[Pixels], provenance: Provenance, fps: int) -> int:
    stream: Any = None
    count = 0
    # "file:" keeps FFmpeg from reading a protocol into a name with a colon
    with closing(av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"})) as film:
        kind = provenance.source_type.value
        film.metadata["title"] = f"Synthetic faces ({kind})"
        film.metadata["comment"] = f"{kind}; model {provenance.model}; made by {provenance.tool}"
        for frame in frames:
            count += 1
            stream = stream or _stream(film, frame, fps)
            # Tags on the frame too, since x264 writes the frame's.
            coloured = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED
            )
            film.mux(stream.encode(coloured))
        if stream is None:
            raise ValueError("a film needs a frame")
        film.mux(stream.encode(None))
    return count


def _stream(film: Any, frame: Pixels, fps: int) -> Any:
    stream = film.add_stream("libx264", rate=fps, options={"crf": _QUALITY, "preset": "medium"})
    stream.height, stream.width = frame.shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise InputError(f"an .mp4 needs PyAV ({install('video')}), or write a .webp") from error
    av.logging.set_level(av.logging.PANIC)  # what goes wrong comes as an exception
    return av
