"""The server of a study: what participants' pages ask for. The researcher's pages are in `web_researcher`.

Participants are known by a signed link; nothing that they get says what another answered, which set a picture
is from, or what is right (but in practice).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from mien.reports.guard import Guard, error_answer, explain_errors, json_answer, page_routes
from mien.study.answers import Refused
from mien.study.design import Design, Timed
from mien.study.enrolment import Enrolment
from mien.study.loaded import Study
from mien.study.pictures import MEDIA_TYPE
from mien.study.sessions import Device, Sessions, Timing
from mien.study.store import pictures
from mien.study.web_researcher import researcher_routes

_MOST_BYTES = 100_000  # of a request
_FILES = (
    "study.css",
    "study.js",
    "study_answers.js",
    "study_exposure.js",
    "study_server.js",
    "server.js",
)
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
    app.add_middleware(Guard, page="study", hosts=hosts, most_bytes=_MOST_BYTES, images="data:")
    _explain(app)
    app.include_router(page_routes("study", _FILES))
    app.include_router(_picture_routes(study))
    app.include_router(_participant_routes(study))
    app.include_router(researcher_routes(study), prefix=f"/{study.secret}")
    return app


def _explain(app: FastAPI) -> None:
    """Errors as one sentence each, for the page to show."""

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return error_answer(str(error), error.status, kind=error.kind)

    @app.exception_handler(SQLAlchemyError)
    def unsaved(request: Request, error: SQLAlchemyError) -> Response:
        return error_answer("The database does not answer just now; nothing is lost, it is tried again.", 503)

    explain_errors(app, absent="There is nothing here. Please open the link that you were sent.")


def _picture_routes(study: Study) -> APIRouter:
    router = APIRouter()
    allowed = frozenset(study.names.values())
    cache: dict[str, bytes] = {}

    @router.get("/pictures/{name}")
    def picture(name: str) -> Response:
        if name not in allowed:
            return error_answer("there is no such picture", 404)
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
        return json_answer(described)

    @router.post("/resume")
    def resume(asked: Resume) -> Response:
        link = enrolment.resume(asked.recruitment) if asked.recruitment else None
        if link is None:
            study.check_open()
        return json_answer({"link": link})

    @router.post("/enrol")
    def enrol(asked: Enrol) -> Response:
        if not asked.consent:
            raise Refused(403, "consent", "Nobody takes part without consent.")
        return json_answer({"link": enrolment.enrol(asked.recruitment, asked.answers)})

    @router.post("/hello")
    def hello(asked: Annotated[Hello, Body()]) -> Response:
        return json_answer(sessions.status(asked.link))

    @router.post("/next")
    def following(asked: Annotated[Next, Body()]) -> Response:
        return json_answer(sessions.next_trial(asked.link, asked.device))

    @router.post("/votes")
    def vote(asked: Annotated[Vote, Body()]) -> Response:
        return json_answer(sessions.vote(asked.link, asked.token, asked.answer, asked.timing))

    @router.post("/withdraw")
    def withdraw(asked: Annotated[Withdraw, Body()]) -> Response:
        enrolment.withdraw(asked.link)
        return json_answer({"deleted": True})

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
