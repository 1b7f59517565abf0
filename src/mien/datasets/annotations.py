"""Labels in a file of its own for each picture: LabelMe's JSON, Pascal VOC's XML, the features of FFHQ.

    photos/a.jpg, photos/a.json              {"shapes": [{"label": "hat"}], "flags": {"smile": true}}
    JPEGImages/a.jpg, Annotations/a.xml      <annotation><object><name>hat</name></object></annotation>
    images/00000.png, json/00000.json        [{"faceAttributes": {"age": 23.0, "hair": {"bald": 0.1}}}]

Where what is annotated is of several names, the picture has no label for it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mien.core.text import decode_text
from mien.datasets.index import Problem
from mien.datasets.tables import Row

SUFFIXES = (".json", ".xml")
_MOST_BYTES = 64 << 20  # LabelMe puts the picture itself into its file
_DEEPEST = 3  # levels of sub-folders


def annotation_files(root: Path, pictures: list[str]) -> list[Path]:
    """The files below `root` that are called as one of its pictures, but end in .json or .xml; sorted."""
    stems = {Path(picture).stem for picture in pictures}
    files = [path for depth in range(_DEEPEST + 1) for path in root.glob("*/" * depth + "*")]
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES and path.stem in stems)


def read_annotations(root: Path, files: list[Path], problems: list[Problem]) -> list[Row]:
    """A row for each file; one that is of no kind known here is named."""
    rows = []
    for path in files:
        where = path.relative_to(root).as_posix()
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"larger than {_MOST_BYTES >> 20} MiB")
            text = decode_text(path.read_bytes())
            cells = _from_xml(text) if path.suffix.lower() == ".xml" else _from_json(json.loads(text))
        except (OSError, ValueError, RecursionError, ParseError, DefusedXmlException) as error:
            problems.append(Problem(where, f"it cannot be read ({error}); its picture has no labels"))
            continue
        if cells is None:
            problems.append(Problem(where, "it is no annotation of LabelMe, Pascal VOC or FFHQ's features"))
        else:
            rows.append(Row(where, path.stem, cells))
    return rows


def _from_xml(text: str) -> dict[str, Any] | None:
    root = fromstring(text.encode(), forbid_dtd=True)
    names = {str(each.findtext("name") or "").strip() for each in root.iter("object")}
    return _category(names) if root.tag == "annotation" else None


def _from_json(annotation: Any) -> dict[str, Any] | None:
    """Cells of LabelMe's or FFHQ's JSON, else None; of several faces' the first's, which is the largest."""
    if isinstance(annotation, list):
        faces = [face.get("faceAttributes") for face in annotation if isinstance(face, dict)]
        known = [face for face in faces if isinstance(face, dict)]
        return dict(_flat(known[0])) if known else (None if annotation else {})
    if not isinstance(annotation, dict) or not isinstance(annotation.get("shapes"), list):
        return None
    shapes = [shape for shape in annotation["shapes"] if isinstance(shape, dict)]
    flags = annotation.get("flags")
    return (dict(_flat(flags)) if isinstance(flags, dict) else {}) | _category(
        {str(shape.get("label") or "") for shape in shapes}
    )


def _category(names: set[str]) -> dict[str, Any]:
    named = names - {""}
    return {"category": min(named)} if len(named) == 1 else {}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Single values with their names: {"hair": {"bald": 0.1}} is hair_bald."""
    for name, value in values.items():
        if isinstance(value, dict) and not above:
            yield from _flat(value, f"{name}_")
        elif isinstance(value, str | int | float) and value != "":
            yield f"{above}{name}", value
