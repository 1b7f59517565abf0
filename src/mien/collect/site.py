"""A site file: where a site's records are, what to keep of them, and how gently to ask. TOML, checked."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from mien import __version__
from mien.collect.values import Kind
from mien.core.errors import InputError, reason_of
from mien.core.text import decode_text

PICTURE_ATTRIBUTES = (  # the largest and the lazy ones first
    *("data-srcset", "data-lazy-srcset", "srcset", "data-orig-file", "data-large_image", "data-zoom-image"),
    *("data-hi-res-src", "data-full-src", "data-lazy-src", "data-original", "data-src", "data-lazy"),
    *("data-lazyload", "data-echo", "data-pagespeed-lazy-src", "data-url", "data-image", "data-img"),
    *("data-bg",),
    *("src", "href", "content", "style"),
)
TEXT = "text()"  # as an attribute: the element's own text
NOBODY, RECORD = "none", "record"  # whom a record shows, besides the names of fields
_TABLE = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([^"'=\s]+)["']?\s*=""")


def _css(selector: str) -> str:
    """Refuse what is no selector of elements; "" is the record's own element."""
    from cssselect import SelectorError
    from parsel.csstranslator import HTMLTranslator

    if "::" in selector:
        raise ValueError(
            "select the element alone; its attribute is named by attr = '...', its text is the default"
        )
    try:
        if selector:
            HTMLTranslator().css_to_xpath(selector)
    except SelectorError as error:
        raise ValueError(f"not a CSS selector ({error})") from error
    return selector


def _regex(pattern: str) -> str:
    if re.compile(_pattern(pattern)).groups != 1:
        raise ValueError("it needs exactly one (group), which is the part to keep")
    return pattern


def _pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return pattern


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("one line of plain text is needed")
    return text.strip()


def _contact(text: str) -> str:
    if not text.isascii() or not re.fullmatch(r"https?://\S+|[^\s@]+@[^\s@]+", text):
        raise ValueError(
            "an e-mail address or an http address is needed, where the site's owner can reach you"
        )
    return text


def _start(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an address such as https://example.org/people is needed")
    return address


def _host(name: str) -> str:
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[?[0-9a-f:.]+\]?", name):
        raise ValueError(
            "a host such as cdn.example.org or *.example.org is needed, without scheme, port or path"
        )
    return name.strip("[]")


def _as_table(value: Any) -> Any:
    return {"css": value} if isinstance(value, str) else value


Css = Annotated[str, AfterValidator(_css)]
Regex = Annotated[str, AfterValidator(_regex)]
Line = Annotated[str, AfterValidator(_line)]
Host = Annotated[str, AfterValidator(_host)]
Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Link(_Strict):
    """Links to follow: the elements, the attribute that holds the address, and what to make of it."""

    css: Css = Field(min_length=1)
    attr: str = "href"
    into: str = "{}"

    @model_validator(mode="after")
    def _has_place(self) -> Self:
        if self.into.count("{}") != 1:
            raise ValueError("into needs one {}, where the attribute's value goes, such as '/entry?id={}'")
        return self


Links = tuple[Annotated[Link, BeforeValidator(_as_table)], ...]


class Detail(_Strict):
    """One field: an element's text, or its attribute (the first that is there), read as a kind of value."""

    css: Css = ""
    attr: Names = ()
    pattern: Regex | None = None
    parse: Kind = "text"
    format: str | None = None


class RecordId(_Strict):
    """What names a record for good: part of its page's address, or something on the page."""

    address: Regex | None = None
    css: Css | None = None
    attr: Names = ()
    pattern: Regex | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.address is not None) == (self.css is not None or bool(self.attr)):
            raise ValueError("give address = 'regex', or css and attr, and not both")
        return self


class Picture(_Strict):
    """The picture of a record; with `all`, every one that the selector finds."""

    css: Css = Field(min_length=1)
    attr: Names = PICTURE_ATTRIBUTES
    all: bool = False


class RecordRule(_Strict):
    """How records lie on a page: one a page, or one for each element that `each` selects.

    person: what names who is shown: "record" (one person each), a field, or "none" where it is not known.
    """

    each: Annotated[str, Field(min_length=1), AfterValidator(_css)] | None = None
    id: RecordId
    picture: Annotated[Picture, BeforeValidator(_as_table)]
    person: str = RECORD

    @model_validator(mode="after")
    def _id_of_each(self) -> Self:
        if self.each is not None and self.id.address is not None:
            raise ValueError("with each, many records share one address; take the id from css or attr")
        return self


class Follow(_Strict):
    """lists: links from list to list. pages: links to pages with records; without any, lists hold them.

    sitemap: which addresses of a sitemap among the start addresses are pages with records.
    """

    lists: Links = ()
    pages: Links = ()
    sitemap: Annotated[str, AfterValidator(_pattern)] = ""


class Limits(_Strict):
    """Caps on everything that a site decides."""

    delay_seconds: float = Field(1.0, ge=0, le=3600, description="Between requests to one host.")
    pictures: int = Field(10_000, ge=1, description="New pictures in one run.")
    pages: int = Field(10_000, ge=1, description="Pages read in one run.")
    minutes: float = Field(240.0, gt=0, description="Of one run.")
    page_mb: float = Field(5.0, gt=0, le=100, description="Megabytes of one page, unpacked.")
    picture_mb: float = Field(30.0, gt=0, le=500, description="Megabytes of one picture.")
    megapixels: float = Field(50.0, gt=0, le=100, description="Million pixels of one picture.")
    same_picture: int = Field(4, ge=1, description="Records that may share a picture; more: a placeholder.")
    smallest_side: int = Field(32, ge=1, description="Pixels; smaller pictures are icons.")
    response_seconds: float = Field(30.0, gt=0, le=600, description="For one whole answer.")
    tries: int = Field(4, ge=1, le=10, description="Of one address where the host says that it is busy.")


class Site(_Strict):
    """A whole site file; docs/collect.md explains each key."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    start: tuple[Annotated[str, AfterValidator(_start)], ...] = Field(min_length=1)
    licence: Line
    purpose: Line
    contact: Annotated[str, AfterValidator(_contact)]
    hosts: tuple[Host, ...] = ()
    picture_hosts: tuple[Host, ...] = ()
    follow: Follow = Follow()
    record: RecordRule
    individual_details: dict[str, Annotated[Detail, BeforeValidator(_as_table)]] = {}
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _person_is_known(self) -> Self:
        known = (RECORD, NOBODY, *self.individual_details)
        if self.record.person not in known:
            raise ValueError(f"record.person is {self.record.person!r}; give one of {', '.join(known)}")
        return self


def user_agent(site: Site) -> str:
    """How we introduce ourselves, with the contact of who runs the crawl."""
    return f"mien/{__version__} (+{site.contact})"


def load_site(path: Path) -> Site:
    """Read a site file. Raises InputError as `parse_site` does."""
    return parse_site(read_site_file(path), str(path))


def read_site_file(path: Path) -> str:
    """Its text. Raises InputError where it cannot be read."""
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as a site file ({reason})") from error


def parse_site(text: str, where: str) -> Site:
    """A site of its text. Raises InputError that names key and line of all that is wrong in `where`."""
    try:
        return Site.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        raise InputError(*_problems(error, text, where)) from error


def _problems(error: ValidationError, text: str, where: str) -> list[str]:
    problems = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        line = _line_of(text, location)
        place = f"{where}, line {line}" if line else where
        problems.append(f"{place}: {'.'.join(location) or 'the file'}: {reason_of(problem)}")
    return problems


def _line_of(text: str, location: list[str]) -> int:
    """The line of the longest part of a key's path that stands in the file; 0 if none does."""
    best, best_line, table = 0, 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if match := _TABLE.match(line):
            path = table = [part.strip(" \"'") for part in match[1].split(".")]
        elif match := _KEY.match(line):
            path = table + match[1].split(".")
        else:
            continue
        if len(path) > best and path == location[: len(path)]:
            best, best_line = len(path), number
    return best_line
