"""The server of a study: what participants' pages ask for, and below a secret path the researcher's pages.

Participants are known by a signed link; nothing that they get says what another answered, which set a picture
is from, or what is right (but in practice). What draws and computes is imported when the researcher asks for
it: participants need none of it, and it takes seconds.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from mien.core.errors import InputError
from mien.core.events import Events
from mien.reports.guard import Guard, error_answer, explain_errors, json_answer, page_routes
from mien.reports.serving import address_of, bound, host_names, serve
from mien.study.design import Design, Timed
from mien.study.enrolment import Enrolment, delete_participant
from mien.study.loaded import Refused, Study
from mien.study.make import MEDIA_TYPE
from mien.study.records import participants_csv, read_records, votes_csv
from mien.study.sessions import Device, Sessions, Timing
from mien.study.store import FINISHED, open_study, pictures, serving_alone

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
_MOST_SHOWN = 2000


class _Request(BaseModel, extra="forbid"):
    """The body of a request; unknown keys are refused."""


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


class Mine(_Request):
    """Ask how far a participant is, or delete what there is of one."""

    link: _Link


class Delete(_Request):
    """Delete a participant. code: the anonymous one."""

    code: str = Field(max_length=40)


def build_app(study: Study, *, hosts: frozenset[str] | None) -> FastAPI:
    """The application. hosts: names it answers to, None for any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, page="study", hosts=hosts, most_bytes=_MOST_BYTES, images="data:")

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return error_answer(str(error), error.status, kind=error.kind)

    @app.exception_handler(SQLAlchemyError)
    def unsaved(request: Request, error: SQLAlchemyError) -> Response:
        return error_answer("The database does not answer just now; nothing is lost, it is tried again.", 503)

    explain_errors(app, absent="There is nothing here. Please open the link that you were sent.")
    for router in (page_routes("study", _FILES), _picture_routes(study), _participant_routes(study)):
        app.include_router(router)
    app.include_router(researcher_routes(study), prefix=f"/{study.secret}")
    return app


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
    def resume(request: Resume) -> Response:
        link = enrolment.resume(request.recruitment) if request.recruitment else None
        if link is None:
            study.check_open()
        return json_answer({"link": link})

    @router.post("/enrol")
    def enrol(request: Enrol) -> Response:
        if not request.consent:
            raise Refused(403, "consent", "Nobody takes part without consent.")
        return json_answer({"link": enrolment.enrol(request.recruitment, request.answers)})

    @router.post("/hello")
    def hello(request: Annotated[Mine, Body()]) -> Response:
        return json_answer(sessions.status(request.link))

    @router.post("/next")
    def following(request: Annotated[Next, Body()]) -> Response:
        return json_answer(sessions.next_trial(request.link, request.device))

    @router.post("/votes")
    def vote(request: Annotated[Vote, Body()]) -> Response:
        return json_answer(sessions.vote(request.link, request.token, request.answer, request.timing))

    @router.post("/withdraw")
    def withdraw(request: Annotated[Mine, Body()]) -> Response:
        enrolment.withdraw(request.link)
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


def researcher_routes(study: Study) -> APIRouter:
    """Pages for who runs the study."""
    router = APIRouter()

    def page(text: str) -> Response:
        # Its own policy stands in it; this one forbids frames, which a page's cannot.
        headers = {"Content-Security-Policy": "frame-ancestors 'none'"}
        return Response(text, media_type="text/html", headers=headers)

    def table(text: str, name: str) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/")
    def overview() -> Response:
        return page(overview_page(study))

    @router.get("/results")
    def results() -> Response:
        from mien.study.results import analyse, results_page

        records = read_records(study)
        return page(results_page(records, analyse(records)))

    @router.get("/votes.csv")
    def all_votes() -> Response:
        return table(votes_csv(read_records(study)), "votes.csv")

    @router.get("/participants.csv")
    def all_participants(ids: bool = False) -> Response:
        return table(participants_csv(read_records(study), ids=ids), "participants.csv")

    @router.post("/delete")
    def delete(request: Delete) -> dict[str, bool]:
        if not delete_participant(study.store, request.code):
            raise InputError(f"there is no participant {request.code}")
        return {"deleted": True}

    return router


def overview_page(study: Study) -> str:
    """How far the study is: counts, quotas, and every participant."""
    from mien.reports.page import render

    records = read_records(study)
    people, finished = records.participants, [one for one in records.participants if one.state == FINISHED]
    quotas = [] if study.design.quota is None else [("all", len(finished), study.design.quota)]
    for question in study.design.questions:
        for choice, most in question.quotas.items():
            same = sum(one.answers[question.name] == choice for one in finished)
            quotas.append((f"{question.name}: {choice}", same, most))
    context = {
        "title": study.design.title,
        "kind": study.design.task.kind,
        "counts": records.counts,
        "quotas": quotas,
        "people": people[: -_MOST_SHOWN - 1 : -1],  # the newest first
        "num_people": len(people),
        "refused": records.incidents,
    }
    return render("study_overview.html.j2", context, scripts=("study_overview.js",))


def serve_study(
    events: Events, place: str, *, host: str, port: int, names: tuple[str, ...], open_browser: bool
) -> None:
    """Serve a study until Ctrl-C. Raises InputError."""
    store = open_study(place)
    try:
        with serving_alone(store), bound(host, port) as listener:
            study, address = Study(store), address_of(host, listener)
            own, parameter = f"{address}{study.secret}/", study.design.recruitment.parameter
            events.note(f"{study.design.title}; Ctrl-C ends, every answer is saved at once\n")
            events.note(f"    participants  {address}")
            events.note(f"    you           {own}\n")
            if study.design.has_ended():
                events.warn(f"the study has ended ({study.design.closes}) and takes nobody any more")
            events.note(f"recruitment ids go into the link: {address}?{parameter}=...")
            app = build_app(study, hosts=host_names(host, names))
            serve(
                app,
                listener,
                open_at=own if open_browser else "",
                timeout_graceful_shutdown=2,
                timeout_keep_alive=75,  # people look at a picture for longer than programs
            )
    finally:
        store.close()
