"""What `mien collect` wrote into a folder: whom and what each picture shows, and which are placeholders."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mien.core.errors import InputError
from mien.core.picture import is_hidden
from mien.core.text import decode_text

_MANIFEST = "manifest.jsonl"
_MOST_SHARING = 4  # records that may share a picture unless the site file says otherwise
_OF_RECORD = ("record", "page", "site", "purpose", "number", "of")


def is_site(name: str) -> bool:
    """Whether a file of a crawl's folder is a site file."""
    return name.startswith("sites/") and name.endswith(".toml")


def most_sharing(sites: Iterable[bytes]) -> dict[str, int]:
    """How many records of each site may share a picture, as the site files say."""
    most = {}
    for text in sites:
        with suppress(ValueError, KeyError, TypeError):
            site = tomllib.loads(text.decode())
            most[str(site["name"])] = int(site["limits"]["same_picture"])
    return most


def read_crawls(
    names: Sequence[str], pictures: Iterable[str], read: Callable[[str], bytes]
) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """`read_crawl` of the crawl that a source with files `names` is, or of those that lie in folders of it.

    Nothing where a picture lies in none of these folders. read: the bytes of a file of the source.
    """
    extra: dict[str, Mapping[str, Any]] = {}
    placeholders: list[str] = []
    roots: list[str] = []
    for name in (each for each in names if each.rpartition("/")[2] == _MANIFEST and not is_hidden(each)):
        root = name.removesuffix(_MANIFEST)
        sites = [each for each in names if each.startswith(root) and is_site(each[len(root) :])]
        manifest, *texts = (_read(read, each) for each in (name, *sites))
        own, left_out = read_crawl(decode_text(manifest, "replace"), most_sharing(texts))
        if not root and (own or left_out):
            return own, left_out
        if own or left_out:
            roots.append(root)
            extra |= {root + file: known for file, known in own.items()}
            placeholders += [root + file for file in left_out]
    if not roots or not all(name.startswith(tuple(roots)) for name in pictures):
        return {}, ()
    return extra, tuple(placeholders)


def _read(read: Callable[[str], bytes], name: str) -> bytes:
    """A file's bytes; none of a damaged one."""
    try:
        return read(name)
    except InputError:
        return b""


def read_crawl(
    manifest: str, most: Mapping[str, int]
) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """What the manifest of `mien collect` says of each file (first line first), {} if it is another's.

    And the files that more records share than `most` says of their site.
    """
    extra: dict[str, Mapping[str, Any]] = {}
    sharing: dict[str, set[str]] = {}
    for line in manifest.split("\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # a crawl that was killed leaves half a line
            continue
        if isinstance(entry, dict) and isinstance(entry.get("file"), str) and "page" in entry:
            if "verdict" in entry:  # that of a packed dataset, which keeps these fields
                return {}, ()
            extra.setdefault(entry["file"], _known(entry))
            sharing.setdefault(entry["file"], set()).add(str(entry.get("record") or entry["page"]))
    shared = {
        name
        for name, known in extra.items()
        if len(sharing[name]) > most.get(str(known.get("site")), _MOST_SHARING)
    }
    return {name: known for name, known in extra.items() if name not in shared}, tuple(sorted(shared))


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    fields = entry.get("fields")
    labels = fields if isinstance(fields, dict) else {}
    known = {"licence": entry.get("licence"), "source_url": entry.get("source"), "labels": labels}
    known |= {key: entry[key] for key in _OF_RECORD if entry.get(key) is not None}
    # a record shows one person: what a crawl that names none is read as
    record = f"{entry.get('site')}/{entry['record']}" if entry.get("record") else ""
    person = labels.get("person") or entry.get("person", record)
    return known | ({"person": str(person)} if person else {})
