"""The server of `mien edit --serve`, all below a secret path: pictures, photos, drags, what is kept."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from mien.core.errors import InputError
from mien.core.packed import encode_png
from mien.latent.editing.drag import MOST_POINTS, STEPS, Pull
from mien.latent.editing.editor import Edit, Editor
from mien.latent.editing.work import Works
from mien.reports.guard import Guard, error_answer, explain_errors, json_answer, page_routes

PAGE = "edit"
MOST_UPLOAD = 64_000_000  # bytes of a photo
_FILES = ("edit.css", "edit.js", "edit_drag.js", "server.js", "curate.svg")
_LEAST_EFFECT = 0.05  # standard deviations a unit that the page speaks of


class Drag(BaseModel, extra="forbid"):
    """Drag points of an edited face; places are shares of the image's side: [x, y, target x, target y]."""

    edit: Edit
    points: list[tuple[float, float, float, float]] = Field(min_length=1, max_length=MOST_POINTS)
    steps: int = Field(STEPS, ge=1, le=1000)


class File(BaseModel, extra="forbid"):
    """Something kept, by its file."""

    file: str = Field(max_length=200)


def build_app(editor: Editor, works: Works, *, secret: str, hosts: frozenset[str] | None) -> FastAPI:
    """The application; everything is below `/secret/`. hosts: names it answers to, None for any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, page=PAGE, hosts=hosts, most_bytes=MOST_UPLOAD, images="blob:")
    explain_errors(app, absent="nothing here; open the address that mien edit printed last")
    pictures, kept, work = _picture_routes(editor, works), _kept_routes(editor, works), _work_routes(works)
    for router in (page_routes(PAGE, _FILES), pictures, kept, work):
        app.include_router(router, prefix=f"/{secret}")
    return app


def parsed(edit: Annotated[str, Query(max_length=100_000)]) -> Edit:
    """The edit in an address. Raises InputError."""
    try:
        return Edit.model_validate_json(edit)
    except ValidationError as error:
        raise InputError("the edit is not of the expected form") from error


def _picture_routes(editor: Editor, works: Works) -> APIRouter:
    router = APIRouter()

    @router.get("/model")
    def model() -> Response:
        return json_answer(
            {
                "model": editor.drawing.loaded.model,
                "side": editor.drawing.resolution,
                "num_layers": editor.num_layers,
                "most_upload": MOST_UPLOAD,
                "most_points": MOST_POINTS,
                "directions": [_described(one.about) for one in editor.directions],
                "problems": editor.problems,
            }
        )

    @router.get("/picture")
    def picture(edit: str) -> Response:
        return _png(editor.picture(parsed(edit)))

    @router.get("/faces/{face}")
    def face(face: str) -> Response:
        headers = {"Cache-Control": "private, max-age=3600"} if face.isdigit() else {}
        return _png(editor.picture(Edit(face=face)), headers)

    @router.get("/strip")
    def strip(edit: str, name: str) -> Response:
        return _png(editor.strip(parsed(edit), name))

    @router.get("/pasted")
    def pasted(edit: str) -> Response:
        return _png(works.paste(parsed(edit)))

    @router.get("/command")
    def command(edit: str) -> Response:
        one = parsed(edit)
        editor.codes_of(one.face)
        return json_answer({"command": editor.command(one)})

    return router


def _described(about: Any) -> dict[str, Any]:
    """A direction for the page, its effects on other attributes the largest first."""
    effects = sorted(about.effects.items(), key=lambda one: -abs(one[1]))
    return {
        "name": about.name,
        "layers": about.layers,
        "accuracy": None if about.accuracy is None else about.accuracy.value,
        "effects": {name: value for name, value in effects if abs(value) >= _LEAST_EFFECT},
        "measured": bool(effects),
        "reach": about.reach,
    }


def _png(data: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(data, media_type="image/png", headers=headers)


def _kept_routes(editor: Editor, works: Works) -> APIRouter:
    router = APIRouter()

    @router.get("/state")
    def state() -> Response:
        return json_answer(
            {
                "revision": editor.revision,
                "kept": editor.kept,
                "faces": editor.names,
                "from_photos": works.from_photos,
                "works": [dataclasses.asdict(work) for work in works.works],
                "notes": works.notes,
            }
        )

    @router.post("/kept")
    def keep(edit: Edit) -> Response:
        return json_answer(editor.keep(edit))

    @router.post("/kept/give-up")
    def give_up(request: File) -> Response:
        editor.give_up(request.file)
        return json_answer({"revision": editor.revision})

    @router.get("/kept/{file}")
    def picture(file: str) -> Response:
        if file not in {one["file"] for one in editor.kept}:
            return error_answer("that was not kept", 404)
        return _png((editor.kept_folder / file).read_bytes())

    return router


def _work_routes(works: Works) -> APIRouter:
    router = APIRouter()

    @router.post("/photos")
    async def drop(request: Request, name: str = "photo") -> Response:
        data = await request.body()
        key, photo = await run_in_threadpool(works.add_photo, name, data)
        return json_answer({"photo": key, "name": photo.name, "num_faces": len(photo.faces)})

    @router.get("/photos/{key}/{number}")
    def crop(key: str, number: int) -> Response:
        return _png(encode_png(works.photo_face(key, number).crop))

    @router.post("/photos/{key}/{number}")
    def project(key: str, number: int) -> Response:
        return json_answer(dataclasses.asdict(works.project(key, number)))

    @router.post("/drags")
    def drag(request: Drag) -> Response:
        pulls = [Pull((x, y), (to_x, to_y)) for x, y, to_x, to_y in request.points]
        return json_answer(dataclasses.asdict(works.drag(request.edit, pulls, request.steps)))

    @router.post("/works/{number}/stop")
    def stop(number: int) -> Response:
        works.work(number).asked_to_stop = True
        return json_answer(dataclasses.asdict(works.work(number)))

    return router
