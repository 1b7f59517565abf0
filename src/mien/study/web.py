"""The server of a study: what participants' pages ask for. The researcher's pages are in `web_researcher`.

Participants are known by a signed link; nothing that they get says what another answered, which set a picture
is from, or what is right (but in practice).
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.core.errors import InputError, MienError
from mien.study.answers import Refused
from mien.study.design import Design, Timed
from mien.study.enrolment import Enrolment
from mien.study.loaded import Study
from mien.study.pictures import MEDIA_TYPE
from mien.study.sessions import Device, Sessions, Timing
from mien.study.store import pictures
from mien.study.web_researcher import researcher_routes

HEADER = "x-mien"  # a form of another site cannot send it
_MOST_BYTES = 100_000  # of a request
_FILES = {
    "study.css": "text/css",
    "study.js": "text/javascript",
    "study_answers.js": "text/javascript",
    "study_exposure.js": "text/javascript",
    "study_server.js": "text/javascript",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_Link = Annotated[str, Field(max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Enrol(_Request):
    """Consent. recruitment: the id in the link by which the participant came; "" for none."""

    consent: bool
    recruitment: str = Field("", max_length=200)
    answers: dict[str, str] = Field({}, max_length=50)


class Resume(_Request):
    """Look for a participant by the recruitment id."""

    recruitment: str = Field(max_length=200)


class Next(_Request):
    """Ask for the trial that is due."""

    link: _Link
    device: Device | None = None


class Vote(_Request):
    """Answer a trial."""

    link: _Link
    token: str = Field(max_length=300)
    answer: str | list[str] | dict[str, int]
    timing: Timing = Timing()


class Hello(_Request):
    """Ask how far a participant is."""

    link: _Link


class Withdraw(_Request):
    """Delete what there is of a participant."""

    link: _Link


def build_app(study: Study, *, hosts: frozenset[str] | None) -> FastAPI:
    """The application. hosts: names it answers to, None for any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=hosts)
    _explain(app)
    app.include_router(_page_routes(study))
    app.include_router(_participant_routes(study))
    app.include_router(researcher_routes(study), prefix=f"/{study.secret}")
    return app


class Guard:
    """Refuses what is not for this server or not from its page, and puts the headers on every answer.

    As bare ASGI: FastAPI's own kind of middleware costs more time than saving a vote does.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", _POLICY)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refuse(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send_with_headers)

    def _refuse(self, method: str, headers: Headers) -> Response | None:
        if self.hosts is not None and _host_name(headers) not in self.hosts:
            return _error("this server does not answer to that name", 421)
        if method == "POST" and headers.get(HEADER) != "study":
            return _error("only the page of the study may do that", 403)
        length = headers.get("content-length", "")
        if method == "POST" and not (length.isdecimal() and int(length) <= _MOST_BYTES):
            return _error("that request is too long", 413)
        return None


def _host_name(headers: Headers) -> str:
    try:
        return urlsplit("//" + headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def _explain(app: FastAPI) -> None:
    """Errors as one sentence each, for the page to show."""

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return _error(str(error), error.status, error.kind)

    @app.exception_handler(MienError)
    def failed(request: Request, error: MienError) -> Response:
        return _error(str(error), 400 if isinstance(error, InputError) else 500)

    @app.exception_handler(SQLAlchemyError)
    def unsaved(request: Request, error: SQLAlchemyError) -> Response:
        return _error("The database does not answer just now; nothing is lost, it is tried again.", 503)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return _error("the request is not of the expected form", 422)

    @app.exception_handler(404)
    def absent(request: Request, error: Exception) -> Response:
        return _error("There is nothing here. Please open the link that you were sent.", 404)


def _error(words: str, status: int, kind: str = "error") -> Response:
    return _json({"error": words, "kind": kind}, status)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Response(text, status, media_type="application/json")


def _page_routes(study: Study) -> APIRouter:
    router = APIRouter()
    folder = files("mien.reports") / "templates"
    allowed = frozenset(study.names.values())
    cache: dict[str, bytes] = {}

    @router.get("/")
    def page() -> Response:
        return Response((folder / "study.html").read_bytes(), media_type="text/html")

    @router.get("/files/{name}")
    def file(name: str) -> Response:
        if name not in _FILES:
            return _error(f"there is no file {name}", 404)
        return Response((folder / name).read_bytes(), media_type=_FILES[name])

    @router.get("/pictures/{name}")
    def picture(name: str) -> Response:
        if name not in allowed:
            return _error("there is no such picture", 404)
        if name not in cache:
            with study.store.reading() as connection:
                query = select(pictures.c.data).where(pictures.c.name == name)
                cache[name] = bytes(connection.execute(query).scalar_one())
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(cache[name], media_type=MEDIA_TYPE, headers=headers)

    return router


def _participant_routes(study: Study) -> APIRouter:
    router = APIRouter()
    enrolment, sessions = Enrolment(study), Sessions(study)
    described = describe(study.design, study.side)

    @router.get("/study")
    def about() -> Response:
        return _json(described)

    @router.post("/resume")
    def resume(asked: Resume) -> Response:
        link = enrolment.resume(asked.recruitment) if asked.recruitment else None
        if link is None:
            study.check_open()
        return _json({"link": link})

    @router.post("/enrol")
    def enrol(asked: Enrol) -> Response:
        if not asked.consent:
            raise Refused(403, "consent", "Nobody takes part without consent.")
        return _json({"link": enrolment.enrol(asked.recruitment, asked.answers)})

    @router.post("/hello")
    def hello(asked: Annotated[Hello, Body()]) -> Response:
        return _json(sessions.status(asked.link))

    @router.post("/next")
    def following(asked: Annotated[Next, Body()]) -> Response:
        return _json(sessions.next_trial(asked.link, asked.device))

    @router.post("/votes")
    def vote(asked: Annotated[Vote, Body()]) -> Response:
        return _json(sessions.vote(asked.link, asked.token, asked.answer, asked.timing))

    @router.post("/withdraw")
    def withdraw(asked: Annotated[Withdraw, Body()]) -> Response:
        enrolment.withdraw(asked.link)
        return _json({"deleted": True})

    return router


def describe(design: Design, side: int) -> dict[str, Any]:
    """What a participant's page may know of the design: no set, no path, no rule of exclusion."""
    task = design.task.model_dump(
        include={"kind", "scales", "points", "question", "attributes", "fixation_ms", "mask_ms"}
    )
    return {
        "title": design.title,
        "task": task | {"timed": isinstance(design.task, Timed)},
        "side": side,
        "consent": design.consent,
        "instructions": design.instructions,
        "thanks": design.thanks,
        "questions": [one.model_dump(exclude={"quotas"}) for one in design.questions],
        "parameter": design.recruitment.parameter,
        "practice": design.practice > 0,
    }
