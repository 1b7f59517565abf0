"""The server of `mien curate`: pages of faces, their pictures, and verdicts.

Everything lies below a secret path, so that neither another page in the browser nor another user of the
machine can ask for it.
"""

import io
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Response
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from mien.core.errors import InputError
from mien.core.packed import encode_png
from mien.core.picture import Pixels, decode
from mien.curate.dropped import place_of
from mien.curate.faces import BY_HAND, Faces, Saved
from mien.curate.view import Query, Views
from mien.reports.guard import Guard, error_answer, explain_errors, json_answer, page_routes

MOST_A_PAGE = 500
_MOST_REQUEST = 8_000_000  # bytes
_SMALL = 320  # pixels of the shorter side that a face of the page needs
_MOST_BYTES = 150_000  # a larger file is made small for the page of faces
_DECODERS = threading.Semaphore(2)  # a folder may hold photos of 100 megapixels
_FILES = (
    "curate.css",
    "curate.js",
    "curate_info.js",
    "curate_filter.js",
    "curate_inputs.js",
    "curate_pairs.js",
    "server.js",
    "curate.svg",
)


class SetVerdict(BaseModel, extra="forbid"):
    """Toss or restore faces by number."""

    indexes: list[int] = Field(min_length=1, max_length=MOST_A_PAGE)
    tossed: bool


class SetAll(BaseModel, extra="forbid"):
    """Toss or restore all that a query finds. expected: how many the user was told that those are."""

    query: Query
    tossed: bool
    expected: int


class Restore(BaseModel, extra="forbid"):
    """Take dropped inputs by number into the dataset."""

    numbers: list[int] = Field(min_length=1, max_length=100_000)


def build_app(faces: Faces, *, secret: str, hosts: frozenset[str] | None) -> FastAPI:
    """The application; everything is below `/secret/`. hosts: names it answers to, None for any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, page="curate", hosts=hosts, most_bytes=_MOST_REQUEST)
    explain_errors(app, absent="nothing here; open the address that mien curate printed last")
    views = Views(faces)
    routers = (
        page_routes("curate", _FILES),
        _read_routes(faces, views),
        _dropped_routes(faces),
        _write_routes(faces, views),
    )
    for router in routers:
        app.include_router(router, prefix=f"/{secret}")
    return app


def _read_routes(faces: Faces, views: Views) -> APIRouter:
    router = APIRouter()

    @router.get("/dataset")
    def dataset() -> Response:
        columns = [column.describe() for column in views.columns.values()]
        dropped = {"num_inputs": len(faces.dropped.records), "reasons": faces.dropped.reasons}
        name = {"name": faces.reader.path.name, "columns": columns, "num_pairs": len(faces.pairs)}
        return json_answer(name | dropped | faces.state())

    @router.get("/state")
    def state() -> Response:
        return json_answer(faces.state())

    @router.get("/faces")
    def page(query: str, offset: int = 0, limit: int = 60) -> Response:
        parsed = _parse(query)
        current = faces.state()
        as_of = current["revision"] if parsed.as_of is None else min(parsed.as_of, current["revision"])
        matches = views.select(parsed.model_copy(update={"as_of": as_of}))
        shown = matches[_page(offset, limit)].tolist()
        items = [_item(faces, index) | {"value": views.value(parsed.sort, index)} for index in shown]
        return json_answer(
            {"num_found": len(matches), "as_of": as_of, "words": parsed.words(), "items": items} | current
        )

    @router.get("/faces/{index}")
    def face(index: int) -> Response:
        if not 0 <= index < len(faces):
            return error_answer(f"there is no face number {index}", 404)
        label = None if faces.reader.labels is None else faces.reader.labels[index]
        record = {key: value for key, value in faces.reader.records[index].items() if key not in _SHOWN}
        return json_answer(_item(faces, index) | {"label": label, "record": record})

    @router.get("/pictures/{index}")
    def picture(index: int, small: bool = False) -> Response:
        if not 0 <= index < len(faces):
            return error_answer(f"there is no face number {index}", 404)
        data, kind = _for_browser(faces.reader.read(index), small=small)
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    return router


def _page(offset: int, limit: int) -> slice:
    start = max(0, offset)
    return slice(start, start + max(0, min(limit, MOST_A_PAGE)))


def _dropped_routes(faces: Faces) -> APIRouter:
    router, dropped = APIRouter(), faces.dropped

    def item(number: int) -> dict[str, Any]:
        index = next(iter(faces.indexes_of(place_of(dropped.records[number]))), None)
        state = {"index": index, "kept": index is not None and not faces.verdicts[index].tossed}
        pictures = {
            "can_restore": bool(dropped.crops(number)),
            "has_picture": bool(dropped.picture(number)),
        }
        return {"number": number} | pictures | dropped.line(number) | state

    @router.get("/inputs")
    def inputs(text: str = "", reason: str | None = None, offset: int = 0, limit: int = 60) -> Response:
        matches = dropped.find(text, reason)
        items = [item(number) for number in matches[_page(offset, limit)]]
        return json_answer({"num_found": len(matches), "items": items} | faces.state())

    @router.get("/inputs/{number}/picture")
    def picture(number: int) -> Response:
        data = dropped.picture(number) if 0 <= number < len(dropped.records) else b""
        if not data:
            return error_answer("there is no picture of it", 404)
        return Response(
            data, media_type=_media_type(data), headers={"Cache-Control": "private, max-age=3600"}
        )

    @router.post("/inputs/restore")
    def restore(request: Restore) -> Response:
        saved = faces.restore(request.numbers)
        return json_answer({"items": [item(number) for number in request.numbers], **_answer(faces, saved)})

    @router.get("/pairs")
    def pairs(offset: int = 0, limit: int = 30) -> Response:
        items = [_pair(faces, number) for number in range(len(faces.pairs))[_page(offset, limit)]]
        return json_answer({"num_found": len(faces.pairs), "pairs": items} | faces.state())

    @router.post("/pairs/{number}/other")
    def other(number: int) -> Response:
        saved = faces.take_other(number)
        return json_answer({"pair": _pair(faces, number), **_answer(faces, saved)})

    return router


def _pair(faces: Faces, number: int) -> dict[str, Any]:
    """The two pictures of a near-duplicate, the one kept by `prepare` first, and which is kept now."""
    place, double = faces.pairs[number]
    record = faces.dropped.records[double]
    picture = f"inputs/{double}/picture" if faces.dropped.picture(double) else None
    sides = [_side(faces, place, {}, None), _side(faces, place_of(record), record, picture)]
    return {"number": number, "detail": record.get("detail"), "sides": sides}


def _side(
    faces: Faces, place: tuple[str, int], record: Mapping[str, Any], picture: str | None
) -> dict[str, Any]:
    """One picture of a pair. record, picture: of what is not in the dataset."""
    index = next(iter(faces.indexes_of(place)), None)
    if index is not None:
        record, picture = dict(faces.reader.records[index]), f"pictures/{index}"
    measured = record.get("measurements") or {}
    return {
        "source": place[0],
        "picture": picture,
        "kept": index is not None and not faces.verdicts[index].tossed,
        "measurements": {name: measured.get(name) for name in ("face_size", "real_size", "sharpness")},
        "class": (record.get("labels") or {}).get("class"),
    }


def _parse(text: str) -> Query:
    try:
        return Query.model_validate_json(text)
    except ValidationError as error:
        raise InputError("the filter is not of the expected form; clear it") from error


_SHOWN = frozenset({"file", "source", "verdict", "reason", "detail"})  # `_item` has them, up to date


def _write_routes(faces: Faces, views: Views) -> APIRouter:
    router = APIRouter()

    @router.post("/verdicts")
    def verdicts(request: SetVerdict) -> Response:
        return _saved(faces, faces.set(request.indexes, tossed=request.tossed))

    @router.post("/verdicts/all")
    def verdicts_of_all(request: SetAll) -> Response:
        matches = views.select(request.query)
        if len(matches) != request.expected:
            words = f"the filter now shows {len(matches)}, not {request.expected}; nothing was changed"
            return error_answer(words, 409)
        words = request.query.words()
        detail = f"{BY_HAND}, all {len(matches)} with: {words}" if words else f"{BY_HAND}, all {len(matches)}"
        return _saved(faces, faces.set(matches.tolist(), tossed=request.tossed, detail=detail))

    @router.post("/undo")
    def undo() -> Response:
        return _saved(faces, faces.undo())

    return router


def _saved(faces: Faces, saved: Saved) -> Response:
    """The answer to a change. items: as they now are, so many as a page may show."""
    items = [_item(faces, change.index) for change in saved.changes[:MOST_A_PAGE]]
    return json_answer(_answer(faces, saved) | {"items": items})


def _answer(faces: Faces, saved: Saved) -> dict[str, Any]:
    return {"num_changed": len(saved.changes)} | faces.state()


def _item(faces: Faces, index: int) -> dict[str, Any]:
    verdict = faces.verdicts[index]
    return {
        "index": index,
        "name": faces.reader.names[index],
        "source": faces.reader.records[index].get("source"),
        "tossed": verdict.tossed,
        "reason": verdict.reason,
        "detail": verdict.detail,
    }


def _media_type(data: bytes) -> str | None:
    """The type that the bytes themselves say, of those that browsers show; None for all else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _for_browser(data: bytes, *, small: bool) -> tuple[bytes, str]:
    """The file itself where a browser shows it, else the picture as PNG or JPEG; with its media type.

    small: shrink what is heavy. Raises BadPicture where it is no picture.
    """
    kind = _media_type(data)
    if kind is not None and not (small and len(data) > _MOST_BYTES):
        return data, kind
    with _DECODERS:
        if not small:
            return encode_png(decode(data).pixels), "image/png"
        return _shrunk(decode(data, near=_SMALL).pixels), "image/jpeg"


def _shrunk(pixels: Pixels) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    factor = _SMALL / min(image.size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()
