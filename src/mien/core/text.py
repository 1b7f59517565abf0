"""Text files as other programs write them: their encoding is seen from their bytes."""

from typing import Final

_MARK: Final = "\ufeff"
_HEAD = 64  # bytes that tell UTF-16 without a mark: half of them are zeros


def decode_text(data: bytes, errors: str = "strict") -> str:
    """The text of UTF-8 or UTF-16 bytes, with no byte-order mark before it, one, or one too many.

    Raises UnicodeDecodeError for others, unless `errors` is another of `bytes.decode`.
    """
    encoding = _encoding(data)
    whole = data[: len(data) // 2 * 2] if encoding.startswith("utf-16") else data
    text = whole.decode(encoding, errors).lstrip(_MARK)
    return text or data.decode(encoding, errors).lstrip(_MARK)  # half a letter alone is no text


def encodable(text: str) -> str:
    """Text with names of files, which may hold bytes that are no UTF-8, as UTF-8 can say it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """Text with names from outside, whose line breaks would feign lines of ours."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    low, high = data[:_HEAD:2].count(0), data[1:_HEAD:2].count(0)
    if max(low, high) * 4 > len(data[:_HEAD]):
        return "utf-16-be" if low > high else "utf-16-le"
    return "utf-8"
