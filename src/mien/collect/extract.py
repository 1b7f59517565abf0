"""What a page holds: links to follow, and records with their pictures and fields."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urldefrag

from parsel import Selector, SelectorList
from scrapy.utils.gz import gunzip
from scrapy.utils.sitemap import Sitemap

from mien.collect.site import TEXT, Detail, Link, Site
from mien.collect.values import Value, read_value

_LONGEST = 2000  # characters of one field
_MOST_LINKS = 5000  # of one page and one rule
_MOST_OF_SITEMAP = 50_000  # addresses, as the protocol has it
_SHORT_PAGE = 4000  # characters of a page that holds a question and nothing else
_CONSENT = ("accept", "consent", "agree", "enable", "akzept", "zustimm", "accepter", "aceptar", "accett")
_BACKGROUND = re.compile(r"""\burl\(\s*(["']?)([^"')]+)\1\s*\)""")
_PERHAPS = frozenset({"data-url", "data-image", "data-img"})  # attributes that may name a page as well
_PICTURE = re.compile(r"\.(jpe?g|png|webp|avif|gif|bmp|tiff?)($|\?)", re.I)
_CANDIDATE = re.compile(r"[\s,]*(\S*[^\s,])(?:\s+([^,]*?))?\s*(?:,|$)")
_DESCRIPTORS = re.compile(r"(\d+(?:\.\d+)?|\.\d+)[wx](?:\s+\d+h)?")


@dataclass(frozen=True)
class PageRecord:
    """A record on a page.

    id: "" where the rule for it found none. pictures: absolute addresses, () if there are none. unread: the
    text of fields that could not be parsed.
    """

    id: str
    page: str
    pictures: tuple[str, ...]
    fields: dict[str, Value] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def links(page: Any, rules: Sequence[Link]) -> Iterator[str]:
    """Absolute addresses that the rules find on a Scrapy text response, without fragments, each once."""
    known = set()
    for rule in rules:
        for element in _select(page.selector, rule.css)[:_MOST_LINKS]:
            value = _attribute(element, rule.attr)
            target = value if rule.into == "{}" else rule.into.replace("{}", quote(value, safe=""))
            address = _absolute(page, target) if value else ""
            if address and address not in known:
                known.add(address)
                yield address


def records(page: Any, site: Site, *, requested: str) -> Iterator[PageRecord]:
    """The records on a Scrapy text response. requested: its address before redirects, as links have it."""
    rule = site.record
    for part in [page.selector] if rule.each is None else _select(page.selector, rule.each):
        name = _record_id(page, part, site, requested)
        record = PageRecord(name, requested, _pictures(page, part, site))
        for field_name, detail in site.individual_details.items():
            text = _text(part, detail)
            try:
                if text:
                    record.fields[field_name] = read_value(text, detail.parse, format=detail.format)
            except (ValueError, OverflowError):
                record.unread[field_name] = text
        yield record


def id_in_address(site: Site, address: str) -> str | None:
    """The id of the record at `address`, where the site file says that the address has it."""
    if site.record.id.address is None:
        return None
    match = re.search(site.record.id.address, address)
    return match[1] if match else None


def largest(srcset: str) -> str:
    """The address of the largest candidate of a `srcset`; "" if there is none."""
    several = [(match[1], _DESCRIPTORS.fullmatch(match[2] or "1x")) for match in _CANDIDATE.finditer(srcset)]
    candidates = [(float(size[1]), address) for address, size in several if size]
    return max(candidates, key=lambda item: item[0])[1] if candidates else ""


def _record_id(page: Any, part: Selector, site: Site, requested: str) -> str:
    rule = site.record.id
    if rule.address is not None:
        return id_in_address(site, requested) or id_in_address(site, page.url) or ""
    return _text(part, Detail(css=rule.css or "", attr=rule.attr, pattern=rule.pattern))


def _pictures(page: Any, part: Selector, site: Site) -> tuple[str, ...]:
    rule = site.record.picture
    candidates = dict.fromkeys(_picture(page, element, rule.attr) for element in _select(part, rule.css))
    addresses = [address for address in candidates if address]
    return tuple(addresses if rule.all else addresses[:1])


def _picture(page: Any, element: Selector, attributes: Sequence[str]) -> str:
    """The best address of an image: of `<picture>` the largest source, then the first attribute that leads
    somewhere, lazy ones first; before a plain `src` what stands for it in `<noscript>`.

    `data:` addresses are the placeholders of lazy pictures.
    """
    if element.root.tag == "picture":
        images = element.xpath(".//img")
        return _picture(page, images[0], attributes) if images else _best_source(page, element, "")
    sets = [name for name in attributes if name.endswith("srcset")]
    own = ", ".join(value for name in sets if _leads(value := _attribute(element, name)))
    for picture in element.xpath("ancestor::picture[1]") if sets else ():
        if best := _best_source(page, picture, own):
            return best
    for name in _with_others(element, attributes):
        if name == "src" and len(attributes) > 1 and (shown := _without_scripts(element)) is not None:
            return _picture(page, shown, attributes)
        value = _attribute(element, name)
        value = largest(value) if name.endswith("srcset") or name not in attributes else value
        if name == "style":
            value = match[2] if (match := _BACKGROUND.search(value)) else ""
        sure = name in attributes and name not in _PERHAPS
        if _leads(value) and (sure or _PICTURE.search(value)):
            return _absolute(page, value)
    return ""


def _with_others(element: Selector, attributes: Sequence[str]) -> list[str]:
    """Attributes to look at: before a plain `src` also those that only this site's scripts know.

    A lazy one that says what `src` says is no better.
    """
    if "src" not in attributes or len(attributes) == 1:
        return list(attributes)
    others = [name for name in element.attrib if name.startswith("data-") and name not in attributes]
    plain = _attribute(element, "src")
    at = attributes.index("src")
    lazy = [name for name in (*attributes[:at], *others) if not plain or _attribute(element, name) != plain]
    return [*lazy, *attributes[at:]]


def _leads(value: str) -> bool:
    return bool(value) and not value.lower().startswith(("data:", "#", "javascript:", "about:"))


def _best_source(page: Any, picture: Selector, own: str) -> str:
    """The largest candidate of the sources of a `<picture>` and of its image's own `srcset`; "" if none."""
    sources = picture.xpath(".//source")
    sets = [_attribute(source, name) for source in sources for name in ("data-srcset", "srcset")]
    candidates = [value for value in (*sets, own) if _leads(value)]
    best = largest(", ".join(candidates)) if any(sets) else ""
    return _absolute(page, best) if _leads(best) else ""


def _without_scripts(element: Selector) -> Selector | None:
    """The image in the `<noscript>` beside a lazy one, None if there is none."""
    if element.xpath("ancestor::noscript"):
        return None
    beside = (
        "following-sibling::*[1]",
        "preceding-sibling::*[1]",
        "ancestor::picture[1]/following-sibling::*[1]",
        "parent::*[count(.//img)=1]/following-sibling::*[1]",
    )
    images = element.xpath(" | ".join(f"{place}[self::noscript]//img" for place in beside))
    return images[0] if images else None


def _attribute(element: Selector, name: str) -> str:
    """An attribute, or the text of the element, without spaces around it; "" if there is none."""
    if name == TEXT:
        return "".join((element.xpath("string()").get() or "").split())
    return (element.attrib.get(name) or "").strip()


def read_sitemap(address: str, body: bytes, *, most: int) -> tuple[list[str], list[str]] | None:
    """Addresses of further sitemaps and of pages in a sitemap (XML, perhaps gzipped); None if it is none.

    most: bytes that it may unpack to. Raises ValueError beyond that.
    """
    if body.startswith(b"\x1f\x8b"):
        try:
            body = gunzip(body, max_size=most)
        except Exception as error:
            raise ValueError(f"{address} is no gzip file of at most {most / 1e6:g} MB") from error
    if not re.match(
        rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<(\w+:)?(urlset|sitemapindex)\b", body[:4096], re.S
    ):
        return None
    parsed = Sitemap(body)
    addresses = [
        str(entry["loc"]).strip()
        for _, entry in zip(range(_MOST_OF_SITEMAP), parsed, strict=False)
        if entry.get("loc")
    ]
    return (addresses, []) if parsed.type == "sitemapindex" else ([], addresses)


def is_cookie_wall(page: Any) -> bool:
    """Whether a page that holds nothing asks for consent to cookies instead."""
    text = " ".join(page.selector.xpath("//body//text()[not(ancestor::script or ancestor::style)]").getall())
    words = " ".join(text.lower().split())
    return len(words) < _SHORT_PAGE and "cookie" in words and any(word in words for word in _CONSENT)


def _text(part: Selector, rule: Detail) -> str:
    """The first element's text or attribute, spaces made single; "" where there is none."""
    elements = _select(part, rule.css)
    if not elements:
        return ""
    if rule.attr:
        text = next((value for name in rule.attr if (value := _attribute(elements[0], name))), "")
    else:
        text = elements[0].xpath("string()").get() or ""
    text = " ".join(text.split())
    if rule.pattern is not None:
        match = re.search(rule.pattern, text)
        text = (match[1] or "").strip() if match else ""
    return text[:_LONGEST]


def _select(part: Selector, css: str) -> "SelectorList[Selector]":
    return part.css(css) if css else SelectorList([part])


def _absolute(page: Any, target: str) -> str:
    try:
        return str(urldefrag(page.urljoin(target)).url)
    except ValueError:  # such as http://[ or a port that is no number
        return target
