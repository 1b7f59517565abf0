"""The model card that goes with an exported generator: what it is, what it learned from, what it is for."""

from collections import Counter
from pathlib import Path

from mien.core import discover
from mien.core.atomic import file_sha256
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import MienError
from mien.core.packed import PackReader
from mien.core.run import RunFolder

_UNKNOWN = "not known to mien; find out before you publish pictures"

_USE = """## Intended use

Faces of people who do not exist: placeholders, art, data to test programs with, research on generators.
Not for passing pictures off as photographs of real people, not for identity documents or profiles meant to
deceive, not for judging anybody's traits by a face.

## Limits

- It draws what its training pictures showed, with their gaps and biases in age, skin, pose and dress.
- A small training set can be remembered: before publishing, compare with the nearest training pictures
  (`mien report`).
- Truncation (`--trunc` below 1) gives safer pictures and fewer kinds of face.
- Every picture drawn by mien says in its XMP that a model made it; other programs may drop that mark.
"""


def model_card(header: NetworkHeader, model: str, file: Path, *, run: Path | None = None) -> str:
    """The card of the exported `file` as Markdown. run: the folder it comes from, to look up licences."""
    spec = header.spec
    labels = ", ".join(spec.class_names) or (f"{spec.label_dim} without names" if spec.label_dim else "none")
    colours = "RGB" if spec.channels == 3 else "gray"
    facts = {
        "Model": f"`{model}`, family {header.family}",
        "Draws": f"faces of {spec.resolution}x{spec.resolution} px, {colours}",
        "Labels": labels,
        "Images seen in training": f"{header.nimg:,}" if header.nimg else "not known",
        **_data(header, run),
        **({"Imported from": f"`{_cell(header.origin)}`"} if header.origin else {}),
        "Made with": f"{header.tool}, {header.created or 'date not known'}",
        "SHA-256 of the file": f"`{file_sha256(file)}`",
    }
    rows = "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    draw = f"mien generate {file.name} --seeds 0-15 --out faces"
    if spec.label_dim:
        draw += f" --label {(spec.class_names or ('0',))[0]}"
    return f"# {_cell(file.stem)}\n\nA face generator.\n\n| | |\n|---|---|\n{rows}\n    {draw}\n\n{_USE}"


def _data(header: NetworkHeader, run: Path | None) -> dict[str, str]:
    data = header.dataset
    if data is None:
        return {"Trained on": _UNKNOWN, "Licence of the training pictures": _UNKNOWN}
    return {
        "Trained on": f"{_cell(data.name)}, {data.num_images:,} pictures, content hash `{data.content_hash}`",
        "Licence of the training pictures": _cell(_licence(run)),
    }


def _licence(run: Path | None) -> str:
    """Of a dataset that has one for all, or those that its manifest names with how many pictures."""
    data = RunFolder.open(run).read_config().get("dataset") if run else None
    source = data.get("source") if isinstance(data, dict) else None
    if not isinstance(source, str):
        return _UNKNOWN
    kind, colon, _ = source.partition(":")
    if colon and kind in discover.names("mien.datasets.layouts"):
        return str(discover.load("mien.datasets.layouts", kind).LICENCE)
    try:
        records = PackReader(Path(source)).records
    except (MienError, OSError):
        return _UNKNOWN
    licences = Counter(str(record.get("licence") or "unknown") for record in records)
    if not licences or set(licences) == {"unknown"}:
        return _UNKNOWN
    return "; ".join(f"{name} ({count:,})" for name, count in licences.most_common(10))


def _cell(text: str) -> str:
    """Fit for one cell of a table."""
    return " ".join(text.replace("|", "/").replace("`", "'").split())
