"""Read any picture file as upright RGB: known formats, a pixel limit, one named reason for each failure."""

import importlib
import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError

from mien.core.colour import to_srgb
from mien.core.errors import InputError, install
from mien.core.mending import mend

Pixels = np.ndarray  # uint8, [H, W, C] or [H, W]; RGB where it comes from here

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
    | {".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".heic", ".heif"}
)
MAX_PIXELS = 108_000_000  # the largest telephone's 12000 x 9000
MAX_BYTES = 512 * 1024 * 1024

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # at 8, after "ftyp"
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P5", b"P6")
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset({5, 6, 7, 8})


class BadPicture(InputError):  # noqa: N818 - named for what it is about, like the reasons
    """A file that gives no picture.

    reason: "empty", "not-a-picture", "truncated", "too-many-pixels", "too-large" (bytes) or "unreadable".
    detail: one sentence without the file's name; the message has both.
    """

    def __init__(self, where: str, reason: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    pixels: uint8 [H, W, 3] RGB, upright, perhaps smaller than the file's (`near`). width, height: of the
    file, upright. format: "JPEG", "PNG", ... notes: what was odd about it and did no harm, in words.
    """

    pixels: Pixels
    width: int
    height: int
    format: str
    notes: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """File pixels per pixel of `pixels`; 1 unless it was decoded smaller."""
        return float(self.width / self.pixels.shape[1])


def read_picture(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture in a file or in bytes as uint8 [H, W, 3] RGB; see `decode`. Raises BadPicture."""
    return decode(source, max_pixels=max_pixels).pixels


def decode(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, near: int | None = None, where: str | None = None
) -> Picture:
    """Decode a file or bytes: first frame, turned upright by EXIF, no alpha, 8 bits, RGB.

    Colours become sRGB by the file's profile; a damaged profile is ignored and noted. A file whose pixels are
    all there is read in spite of damage elsewhere, and that is noted (`mending`). Transparent parts become
    white. 16-bit gray is scaled to 8 bits. CMYK is taken as inverted where Adobe's marker says so.
    max_pixels: more than that is refused from the header, before anything is decoded.
    near: a JPEG may be decoded to a half, quarter or eighth whose shorter side is still at least this.
    where: how messages name the source (default: its path). Raises BadPicture, nothing else.
    """
    name = where or (str(source) if isinstance(source, Path) else "picture")
    data = read_bytes(source, where=name) if isinstance(source, Path) else source
    if not data:
        raise BadPicture(name, "empty", "the file is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, odd EXIF and palettes: each is refused or harmless here
        try:
            return _decode(data, name, max_pixels, near)
        except BadPicture as error:
            mended = mend(data)
            if mended is None or error.reason not in ("truncated", "unreadable"):
                raise
            try:
                picture = _decode(mended[0], name, max_pixels, near)
            except BadPicture:
                raise error from None
            return replace(picture, notes=(*picture.notes, mended[1]))


def _decode(data: bytes, name: str, max_pixels: int, near: int | None) -> Picture:
    """`decode` of bytes that are taken as they are."""
    with _open(data, name) as image:
        width, height = image.size
        if width * height > max_pixels:
            size = f"{width}x{height} are more than {max_pixels / 1e6:g} million pixels"
            raise BadPicture(name, "too-many-pixels", f"{size}; it was not decoded")
        try:
            kind = str(image.format)
            if near is not None and kind == "JPEG":
                image.draft(None, (near, near))
            image.load()
            turn = _orientation(image)
            upright, note = _to_rgb(image)
            if turn in _TURNS:
                upright = upright.transpose(_TURNS[turn])
            pixels = np.array(upright)
        except Exception as error:  # decoders fail in a dozen ways on broken files
            raise _explain(name, data, error) from error
    if turn in _SWAPS_SIDES:
        width, height = height, width
    return Picture(pixels, width, height, kind, () if note is None else (note,))


def read_bytes(path: Path, *, where: str | None = None) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES. Raises BadPicture."""
    name = where or str(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                limit = f"{MAX_BYTES >> 20} MiB"
                raise BadPicture(name, "too-large", f"the file is larger than {limit}; it was not read")
            return file.read(MAX_BYTES)
    except OSError as error:
        raise BadPicture(name, "unreadable", f"the file cannot be read ({error.strerror})") from error


def list_pictures(folder: Path) -> list[Path]:
    """All files under `folder` with a picture's suffix, as `list_files` lists them."""
    return [path for path in list_files(folder) if path.suffix.lower() in PICTURE_SUFFIXES]


def photo_paths(sources: Sequence[Path]) -> list[Path]:
    """The files among `sources`, and the pictures in its folders. Raises InputError where that is none."""
    paths = [path for source in sources for path in (list_pictures(source) if source.is_dir() else [source])]
    if not paths:
        raise InputError(f"{', '.join(map(str, sources)) or 'no photo'}: no pictures in it")
    return paths


def list_files(folder: Path) -> list[Path]:
    """All regular files under `folder`, sorted by their relative path with "/"; hidden ones are left out.

    Links are followed; one to a folder that is listed anyway is not. Raises InputError where there is none.
    """
    return walk_files(folder)[0]


def walk_files(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The files of `list_files`, and a note on links and folders that are not followed."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    root = folder.resolve()
    files: list[Path] = []
    lost: list[str] = []
    entered = {root, *root.parents}
    folders = [folder]
    while folders:
        parent = folders.pop()
        try:
            with os.scandir(parent) as items:
                visible = sorted((i for i in items if not is_hidden(i.name)), key=lambda item: item.name)
        except OSError:  # not ours to read, or gone
            lost.append(parent.relative_to(folder).as_posix())
            continue
        for item in visible:
            path = Path(item.path)
            is_file, is_folder = _what_is(item)
            if is_file:
                files.append(path)
            elif is_folder and _enter(item, entered, root):
                folders.append(path)
            elif item.is_symlink():
                lost.append(path.relative_to(folder).as_posix())
    notes = (f"not followed: {len(lost)} links or folders, first {min(lost)}",) if lost else ()
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix()), notes


def _what_is(item: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether it is a file, and whether a folder; neither where the system does not let one see."""
    try:
        return item.is_file(), item.is_dir()
    except OSError:
        return False, False


def _enter(item: os.DirEntry[str], entered: set[Path], root: Path) -> bool:
    """Whether to list a folder: each one once, though links may lead there."""
    if not item.is_symlink():
        return True
    real = Path(item.path).resolve()
    if real in entered or root in real.parents:
        return False
    entered.add(real)
    return True


def is_hidden(name: str) -> bool:
    """Whether a path with "/" is of a hidden file or one of the Mac's shadow copies, or lies among such."""
    return any(part == "__MACOSX" or (part[:1] == "." and part != ".") for part in name.split("/"))


def _open(data: bytes, name: str) -> Image.Image:
    formats = (*_FORMATS, "HEIF") if _is_heif(data) and _reads_heif() else _FORMATS
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:  # Pillow's own limit, twice its MAX_IMAGE_PIXELS
        counts = re.findall(r"\d+", str(error)) or ["0"]
        detail = f"{int(counts[0]) / 1e6:.0f} million pixels are too many; it was not decoded"
        raise BadPicture(name, "too-many-pixels", detail) from error
    except UnidentifiedImageError as error:
        if name.lower().endswith(_RAW):
            detail = "it is a camera's raw file, which is not read; export it as JPEG"
            raise BadPicture(name, "not-a-picture", detail) from error
        if data.startswith(_MAGIC):
            detail = "it begins as a picture, but its header is cut off or damaged"
            raise BadPicture(name, "truncated", detail) from error
        raise BadPicture(name, "not-a-picture", f"it is no picture but {_guess(data)}") from error
    except Exception as error:
        raise _explain(name, data, error) from error


_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


@cache
def _reads_heif() -> bool:
    """Whether the extra for HEIC is there; Pillow then knows the format."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False)
    except ImportError:
        return False
    return True


def _guess(data: bytes) -> str:
    """What a file that is no picture looks like, for the message."""
    start = data[:1024].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return "a web page (HTML)"
    if b"<svg" in start:
        return "an SVG drawing, which is not read"
    if data.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer to one; fetch the files themselves (git lfs pull)"
    if data.startswith(b"PAR1"):
        return "a parquet file; unpack the archive that it is in, and parquet:FOLDER reads it"
    if data.startswith(_ARCHIVES) or data[257:262] == b"ustar":
        return "an archive, which is not opened; unpack it, or give it as the source"
    if _is_heif(data) and not _reads_heif():
        return f"a HEIC file, which needs pillow-heif; {install('heic')}"
    if data[4:8] == b"ftyp" and not _is_heif(data):
        return "a film, which is not read"
    if data.startswith((b"8BPS", b"%PDF")):
        return "a Photoshop file or a PDF; export it as JPEG or PNG"
    try:
        data[:1024].decode("utf-8")
    except UnicodeDecodeError as error:
        return "text" if error.start >= min(len(data), 1024) - 4 and error.start > 0 else "unknown data"
    return "unknown data" if b"\0" in data[:1024] else "text"


def _explain(name: str, data: bytes, error: Exception) -> BadPicture:
    message = " ".join(str(error).split()) or type(error).__name__
    cut_off = ("truncated", "unexpected end", "not enough image data", "premature", "failed to read next")
    cut_riff = data.startswith(b"RIFF") and int.from_bytes(data[4:8], "little") + 8 > len(data)
    if cut_riff or isinstance(error, EOFError) or any(sign in message.lower() for sign in cut_off):
        return BadPicture(name, "truncated", "the file is cut off before the picture's end")
    return BadPicture(name, "unreadable", f"the picture is damaged ({message[:120]})")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF is no reason to lose the picture
        return 1


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """The picture in sRGB on white, and a note about its colour profile or None."""
    alpha = None
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        layered.info.setdefault("icc_profile", image.info.get("icc_profile"))
        image, alpha = layered, layered.getchannel("A")
    image, note = _in_srgb(image)
    image = image.convert("RGB")
    if alpha is None:
        return image, note
    opaque = Image.new("RGB", image.size, (255, 255, 255))
    opaque.paste(image, mask=alpha)
    return opaque, note


def _in_srgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for Adobe's, which store 255 as no ink
        image = ImageChops.invert(image)
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return to_srgb(image, profile) if isinstance(profile, bytes) and profile else (image, None)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Gray of 16 or 32 bits or floats to uint8: by the range of its type, or the one its values fit.

    Floats down to under -.5 and up to 1 are taken for -1 to 1, as networks draw.
    """
    numbers = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    if values.dtype.kind == "f" and -1 <= numbers.min(initial=0) < -0.5 and numbers.max(initial=0) <= 1:
        numbers = (numbers + np.float32(1)) / np.float32(2)
    top = float(numbers.max(initial=0))
    if values.dtype == np.uint16:
        full = 65535.0
    else:
        full = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
        full = 255.0 if values.dtype.kind != "f" and full == 1.0 else full
    return np.asarray(np.clip(numbers * (255 / full) + 0.5, 0, 255), np.uint8)
