"""Text on a page to a value: numbers, dates, heights and weights as people write them."""

import datetime
import re
from collections.abc import Callable
from typing import Literal

Kind = Literal["text", "int", "number", "date", "feet-inches", "height", "weight"]
Value = str | int | float

_CM_INCH, _KG_POUND, _POUNDS_STONE = 2.54, 0.45359237, 14
_NUMBER = re.compile(r"[-+]?\d[\d.,'’  ]*")
_FEET = re.compile(
    r"""(?<!\d)(\d)\s*(?:'|’|′|ft\.?|feet|foot)\s*(?:(\d{1,2}(?:\.\d+)?)\s*(?:''|"|”|″|in\b\.?|inch\w*)?)?""",
    re.I,
)
_FEET_BARE = re.compile(r"\s*(\d)(?:-(\d{1,2})|(\d{2}))\s*")  # 5-11, and 511 as police forms have it
_METRES = re.compile(r"(\d(?:[.,]\d+)?)\s*m(?:et(?:er|re)s?)?\b", re.I)
_CENTIMETRES = re.compile(r"(\d{2,3}(?:[.,]\d+)?)\s*cm\b", re.I)
_KILOGRAMS = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*(?:kg|kilo)", re.I)
_POUNDS = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*(?:lbs?|pounds?|#)", re.I)
_STONE = re.compile(r"(\d{1,2})\s*st(?:one)?\b(?:\s*(\d{1,2}))?", re.I)
_ISO = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_WORDS = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?\.?\s+([A-Za-z]{3,9})\.?,?\s+(\d{4})\b")
_WORDS_FIRST = re.compile(r"\b([A-Za-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})\b")
_NUMERIC = re.compile(r"\b(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def read_value(text: str, kind: Kind, *, format: str | None = None) -> Value:
    """The value that `text` holds.

    text: as it is. int, number: the first number ("1,234 g" is 1234). date: ISO 8601, from ISO, "12 March
    1990", "March 12, 1990", or by `format` (as strptime). feet-inches, height: centimetres. weight: kg.
    Raises ValueError, whose message says what was expected.
    """
    if kind == "text":
        return text
    if kind == "date":
        return _date(text, format)
    return _READERS[kind](text)


def _number(text: str) -> float:
    match = _NUMBER.search(text)
    if match is None:
        raise ValueError("no number in it")
    return _decimal(match[0])


def _decimal(text: str) -> float:
    """A number with "." or "," for the fraction; what stands before three digits parts thousands."""
    digits = re.sub(r"[\s'’]", "", text).rstrip(".,")
    marks = [mark for mark in digits if mark in ".,"]
    last = marks[-1] if marks else "."
    decimals = digits.rsplit(last, 1)[1] if marks else ""
    thousands = len(set(marks)) == 1 and (len(marks) > 1 or (last == "," and len(decimals) == 3))
    if thousands:
        return float(digits.replace(last, ""))
    whole = digits.replace("," if last == "." else ".", "")
    return float(whole.replace(",", "."))


def _int(text: str) -> int:
    value = _number(text)
    if not value.is_integer():
        raise ValueError("no whole number in it")
    return int(value)


def _feet_inches(text: str) -> float:
    match = _FEET.search(text)
    if match is not None:
        feet, inches = int(match[1]), float(match[2] or 0)
    elif (bare := _FEET_BARE.fullmatch(text)) is not None:
        feet, inches = int(bare[1]), float(bare[2] or bare[3])
    else:
        raise ValueError("no feet and inches in it, such as 5'11\" or 5 ft 11 in")
    if inches >= 12 or not 1 <= feet <= 8:
        raise ValueError(f"{feet} feet {inches:g} inches are no height")
    return round((feet * 12 + inches) * _CM_INCH, 1)


def _height(text: str) -> float:
    if match := _CENTIMETRES.search(text):
        return round(_decimal(match[1]), 1)
    if match := _METRES.search(text):
        return round(_decimal(match[1]) * 100, 1)
    try:
        return _feet_inches(text)
    except ValueError:
        raise ValueError("no height in it, such as 180 cm, 1.80 m or 5'11\"") from None


def _weight(text: str) -> float:
    if match := _KILOGRAMS.search(text):
        return round(_decimal(match[1]), 1)
    if match := _STONE.search(text):
        return round((int(match[1]) * _POUNDS_STONE + int(match[2] or 0)) * _KG_POUND, 1)
    if match := _POUNDS.search(text):
        return round(_decimal(match[1]) * _KG_POUND, 1)
    raise ValueError("no weight in it, such as 72 kg, 159 lb or 11 st 5")


def _date(text: str, format: str | None) -> str:
    if format is not None:
        return datetime.datetime.strptime(text.strip(), format).date().isoformat()
    if match := _ISO.search(text):
        return _iso(int(match[1]), int(match[2]), int(match[3]))
    if match := _WORDS.search(text):
        return _iso(int(match[3]), _month(match[2]), int(match[1]))
    if match := _WORDS_FIRST.search(text):
        return _iso(int(match[3]), _month(match[1]), int(match[2]))
    if match := _NUMERIC.search(text):
        return _by_size(int(match[1]), int(match[2]), int(match[3]))
    raise ValueError("no date in it that can be read; give its format, such as format = '%d/%m/%y'")


def _by_size(first: int, second: int, year: int) -> str:
    """12/31/1990 can only be December; 3/4/1990 can be two days and is refused."""
    if first > 12:
        return _iso(year, second, first)
    if second > 12 or first == second:
        return _iso(year, first, second)
    raise ValueError("the day or the month may come first; give format = '%d/%m/%Y' or '%m/%d/%Y'")


def _month(name: str) -> int:
    short = name[:3].lower()
    if short not in _MONTHS:
        raise ValueError(f"{name!r} is no month")
    return _MONTHS.index(short) + 1


def _iso(year: int, month: int, day: int) -> str:
    return datetime.date(year, month, day).isoformat()


_READERS: dict[str, Callable[[str], Value]] = {
    "int": _int,
    "number": _number,
    "feet-inches": _feet_inches,
    "height": _height,
    "weight": _weight,
}
