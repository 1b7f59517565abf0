"""The researcher's pages, below a secret path: progress, results, CSV, deletion of a participant's data.

What draws and computes is imported when it is asked for: participants need none of it, and it takes seconds.
"""

import itertools

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from mien.core.errors import InputError
from mien.study.enrolment import delete_participant
from mien.study.loaded import Study
from mien.study.records import participants_csv, read_records, votes_csv
from mien.study.store import FINISHED

_MOST_SHOWN = 2000


class Delete(BaseModel):
    """Delete a participant. code: the anonymous one."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=40)


def researcher_routes(study: Study) -> APIRouter:
    """Pages for who runs the study."""
    router = APIRouter()

    @router.get("/")
    def overview() -> Response:
        return _page(overview_page(study))

    @router.get("/results")
    def results() -> Response:
        from mien.study.results import analyse
        from mien.study.results_page import results_page

        records = read_records(study)
        return _page(results_page(records, analyse(records)))

    @router.get("/votes.csv")
    def all_votes() -> Response:
        return _csv(votes_csv(read_records(study)), "votes.csv")

    @router.get("/participants.csv")
    def all_participants(ids: bool = False) -> Response:
        return _csv(participants_csv(read_records(study), ids=ids), "participants.csv")

    @router.post("/delete")
    def delete(asked: Delete) -> dict[str, bool]:
        if not delete_participant(study.store, asked.code):
            raise InputError(f"there is no participant {asked.code}")
        return {"deleted": True}

    return router


def overview_page(study: Study) -> str:
    """How far the study is: counts, quotas, and every participant."""
    from mien.reports.page import render

    records = read_records(study)
    people = records.participants
    quotas = []
    if study.design.quota is not None:
        quotas.append(("all", sum(one.state == FINISHED for one in people), study.design.quota))
    for question in study.design.questions:
        for choice, most in question.quotas.items():
            same = sum(one.state == FINISHED and one.answers[question.name] == choice for one in people)
            quotas.append((f"{question.name}: {choice}", same, most))
    return render(
        "study_overview.html.j2",
        {
            "title": study.design.title,
            "kind": study.design.task.kind,
            "counts": records.counts,
            "quotas": quotas,
            "people": list(itertools.islice(reversed(people), _MOST_SHOWN)),
            "num_people": len(people),
            "refused": records.incidents,
        },
        scripts=("study_overview.js",),
    )


def _page(text: str) -> Response:
    """A page whose own policy stands in it; this one forbids frames, which a page's cannot."""
    headers = {"Content-Security-Policy": "frame-ancestors 'none'"}
    return Response(text, media_type="text/html", headers=headers)


def _csv(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
