"""What a page holds: links to follow, and records with their pictures and fields."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urldefrag

from parsel import Selector, SelectorList

from mien.collect.site import Detail, Link, Site
from mien.collect.values import Value, read_value

_LONGEST = 2000  # characters of one field
_MOST_LINKS = 5000  # of one page and one rule
_CANDIDATE = re.compile(r"\s*([^\s,]\S*[^\s,])(?:\s+([\d.]+)([wx]))?\s*(?:,|$)")


@dataclass(frozen=True)
class Found:
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
    seen = set()
    for rule in rules:
        for element in _select(page.selector, rule.css)[:_MOST_LINKS]:
            value = (element.attrib.get(rule.attr) or "").strip()
            target = value if rule.into == "{}" else rule.into.replace("{}", quote(value, safe=""))
            address = _absolute(page, target) if value else ""
            if address and address not in seen:
                seen.add(address)
                yield address


def records(page: Any, site: Site, *, asked: str) -> Iterator[Found]:
    """The records on a Scrapy text response; `asked` is its address before redirects, as links have it."""
    rule = site.record
    for part in [page.selector] if rule.each is None else _select(page.selector, rule.each):
        fields, unread = _fields(part, site)
        yield Found(_record_id(page, part, site, asked), asked, _pictures(page, part, site), fields, unread)


def id_in_address(site: Site, address: str) -> str | None:
    """The id of the record at `address`, where the site file says that the address has it."""
    if site.record.id.address is None:
        return None
    match = re.search(site.record.id.address, address)
    return match[1] if match else None


def largest(srcset: str) -> str:
    """The address of the largest candidate of a `srcset`; "" if there is none."""
    candidates = [(float(match[2] or 1), match[1]) for match in _CANDIDATE.finditer(srcset)]
    return max(candidates, key=lambda item: item[0])[1] if candidates else ""


def _record_id(page: Any, part: Selector, site: Site, asked: str) -> str:
    rule = site.record.id
    if rule.address is not None:
        return id_in_address(site, asked) or id_in_address(site, page.url) or ""
    return _text(part, Detail(css=rule.css or "", attr=rule.attr, pattern=rule.pattern))


def _pictures(page: Any, part: Selector, site: Site) -> tuple[str, ...]:
    rule = site.record.picture
    found = dict.fromkeys(_picture(page, element, rule.attr) for element in _select(part, rule.css))
    addresses = [address for address in found if address]
    return tuple(addresses if rule.all else addresses[:1])


def _picture(page: Any, element: Selector, attributes: Sequence[str]) -> str:
    """The first attribute that leads somewhere; `data:` addresses are the placeholders of lazy pictures."""
    for name in attributes:
        value = (element.attrib.get(name) or "").strip()
        value = largest(value) if name.endswith("srcset") else value
        if value and not value.lower().startswith(("data:", "#", "javascript:")):
            return _absolute(page, value)
    return ""


def _fields(part: Selector, site: Site) -> tuple[dict[str, Value], dict[str, str]]:
    fields: dict[str, Value] = {}
    unread: dict[str, str] = {}
    for name, rule in site.individual_details.items():
        text = _text(part, rule)
        try:
            if text:
                fields[name] = read_value(text, rule.parse, format=rule.format)
        except (ValueError, OverflowError):
            unread[name] = text
    return fields, unread


def _text(part: Selector, rule: Detail) -> str:
    """The first element's text or attribute, spaces made single; "" where there is none."""
    elements = _select(part, rule.css)
    if not elements:
        return ""
    if rule.attr:
        text = next((value for name in rule.attr if (value := elements[0].attrib.get(name))), "")
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
