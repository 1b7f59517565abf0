"""Participants over HTTP, in SQLite and in PostgreSQL: enrolment, order, votes that count once, deletion."""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raters import Clock, Rater, client_of, make_study, serving, sets_by_name
from sqlalchemy import func, select

from mien.study import enrolment, sessions
from mien.study.enrolment import delete_participant
from mien.study.loaded import Study
from mien.study.records import read_records
from mien.study.store import incidents, open_study, participants, pictures, trials, votes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sessions, "time", made)
    return made


class Site:
    """A study that is served."""

    def __init__(self, place: str, address: str, clock: Clock) -> None:
        self.place, self.address, self.clock = place, address, clock
        self.sets = sets_by_name(place)
        self.client = client_of(address)
        self.clients = [self.client]

    def rater(self, **options: Any) -> Rater:
        made = Rater(self.address, clock=self.clock, **options)
        self.clients.append(made.client)
        return made

    def post(self, path: str, **body: Any) -> tuple[int, str]:
        """Status and kind of refusal."""
        answer = self.client.post(path, json=body)
        return answer.status_code, answer.json().get("kind", "")

    def count(self, table: Any) -> int:
        return len(self.rows(table))

    def rows(self, table: Any) -> list[Any]:
        store = open_study(self.place)
        with store.reading() as connection:
            found = connection.execute(select(table)).all()
        store.close()
        return list(found)


@pytest.fixture
def site(database: str, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Site]:
    """`@pytest.mark.parametrize("site", [(kind, changes)], indirect=True)` says which study."""
    kind, changes = getattr(request, "param", ("hype-infinity", {"task": {"trials": 8}}))
    changes = dict(changes)
    place = make_study(tmp_path, kind, db=database, count=changes.pop("count", 14), **changes)
    with serving(place) as address:
        made = Site(place, address, clock)
        yield made
        for client in made.clients:
            client.close()


def study(kind: str, **changes: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", [(kind, changes)], indirect=True)


# ---- enrolment


@pytest.mark.slow
def test_a_participant_goes_from_consent_to_the_code(site: Site) -> None:
    rater = site.rater()
    *done, end = rater.run(lambda trial, sets: "real", site.sets)
    assert [trial["state"] for trial in done[:2]] == ["practice", "practice"]
    assert Counter(trial["state"] for trial in done) == {"practice": 2, "main": 8, "check": 1}
    assert end["state"] == "end"
    assert len(end["code"]) == 10
    assert rater.next() == end  # the same code again, after a reload
    (row,) = site.rows(participants)
    assert (row.state, row.position, row.total) == ("finished", 11, 11)
    assert site.count(votes) == 11


@pytest.mark.slow
def test_nobody_takes_part_without_consent(site: Site) -> None:
    assert site.post("enrol", consent=False) == (403, "consent")
    assert site.count(participants) == 0


def test_the_same_recruitment_id_resumes_where_it_stopped(site: Site) -> None:
    first = site.rater(recruitment="A-17")
    first.run(lambda trial, sets: "real", site.sets, most=4)
    again = site.rater(recruitment="A-17")
    assert again.link == first.link
    assert again.next()["position"] == 4
    assert again.post("resume", recruitment="A-17") == {"link": first.link}
    assert again.post("resume", recruitment="B-1") == {"link": None}
    assert site.rater(recruitment="B-1").link != first.link
    assert site.count(participants) == 2


def test_the_same_id_at_once_in_two_tabs_is_one_participant(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither tab finds the id when it asks; the second finds it when it is its turn to write."""
    monkeypatch.setattr(enrolment.Enrolment, "resume", lambda *given: None)
    first, second = (site.rater(recruitment="A-17") for _ in range(2))
    assert first.link == second.link
    assert site.count(participants) == 1


@study("hype-infinity", task={"trials": 4}, recruitment={"required": True})
def test_an_id_may_be_required(site: Site) -> None:
    assert site.post("enrol", consent=True) == (403, "recruitment")


AGE = {"name": "age", "text": "Age?", "choices": ["young", "old"], "quotas": {"young": 1}}


@study("hype-infinity", task={"trials": 4}, questions=[AGE], quota=2)
def test_quotas_are_kept(site: Site) -> None:
    def enrol(age: str) -> tuple[int, str]:
        return site.post("enrol", consent=True, answers={"age": age})

    assert enrol("ancient") == (422, "question")
    assert [enrol("young"), enrol("young"), enrol("old"), enrol("old")] == [
        (200, ""),
        (410, "full"),
        (200, ""),
        (410, "full"),
    ]
    assert site.count(participants) == 2


@study("hype-infinity", task={"trials": 4}, closes="2020-01-01T00:00:00Z")
def test_a_study_that_has_ended_says_so(site: Site) -> None:
    assert site.post("enrol", consent=True) == (410, "closed")
    assert site.post("resume", recruitment="x") == (410, "closed")


@study("hype-infinity", task={"trials": 4}, link_days=1e-9)
def test_an_expired_link_says_so_and_loses_nothing(site: Site) -> None:
    rater = site.rater()
    answer = rater.post("next", expect=410, link=rater.link)
    assert answer["kind"] == "expired"
    assert "expired" in answer["error"]
    assert site.count(participants) == 1


def test_forged_links_are_refused(site: Site) -> None:
    rater = site.rater()
    code = rater.link.partition(".")[0]
    for link in (
        "",
        "x",
        code,
        f"{code}.",
        f"{code}.{'0' * 32}",
        rater.link[:-1],
        f"AAAA{rater.link[4:]}",
        "é.ü",
    ):
        assert rater.post("next", expect=404, link=link)["kind"] == "unknown"


# ---- order


@study("categorise", task={"trials": 4, "exposures_ms": [50, 100, 200]}, practice=2)
def test_orders_differ_and_are_balanced(site: Site) -> None:
    owners = [site.rater().link for _ in range(4)]
    assert len(set(owners)) == 4
    planned: dict[int, list[Any]] = {}
    for row in sorted(site.rows(trials), key=lambda row: row.position):
        if row.phase == "main":
            planned.setdefault(row.participant_id, []).append(row)
    assert len({tuple(row.pictures[0] for row in rows) for rows in planned.values()}) == 4
    for rows in planned.values():
        shown = [row.pictures[0] for row in rows]
        assert len(set(shown)) == len(shown) == 12
        conditions = Counter((row.expected, row.exposure_ms) for row in rows)
        assert set(conditions.values()) == {2}
        assert len(conditions) == 6
    for row in site.rows(pictures):  # 13 of each set are left for 24 showings
        assert row.planned in ({1, 2} if row.role == "main" else {0})


@study("prefer", task={"trials": 6}, practice=0, attention_checks=0)
def test_pairs_are_balanced_over_sets_and_sides(site: Site) -> None:
    for _ in range(6):
        site.rater()
    name = {row.id: row.set for row in site.rows(pictures)}
    pairs = Counter(tuple(name[id] for id in row.pictures) for row in site.rows(trials))
    assert set(pairs) == set(itertools.permutations(("good", "fair", "poor"), 2))
    assert set(pairs.values()) == {6}


@study("prefer", task={"trials": 15, "compare": "pictures"}, sets=[{"name": "faces"}], practice=1)
def test_single_pictures_meet_each_other_pair_only_once(site: Site) -> None:
    site.rater()
    shown = [frozenset(row.pictures) for row in site.rows(trials) if row.phase == "main"]
    assert len(set(shown)) == len(shown) == 15
    uses = Counter(id for pair in shown for id in pair)
    assert max(uses.values()) - min(uses.values()) <= 1


@study(
    "hype-infinity", task={"trials": 4}, sets=[{"name": "photos", "real": True}, {"name": "a"}, {"name": "b"}]
)
def test_each_rater_judges_one_model_and_models_share_raters(site: Site) -> None:
    for _ in range(4):
        site.rater()
    assert Counter(row.arm for row in site.rows(participants)) == {"a": 2, "b": 2}
    name = {row.id: row.set for row in site.rows(pictures)}
    arms = {row.id: row.arm for row in site.rows(participants)}
    for row in site.rows(trials):
        if row.phase == "main" and row.expected == "fake":
            assert name[row.pictures[0]] == arms[row.participant_id]


def test_nothing_that_is_served_tells_the_answer(site: Site) -> None:
    rater = site.rater()
    trial = rater.next()
    assert set(trial) == {
        "state", "block", "position", "total", "token", "pictures", "exposure_ms", "masks", "check",
    }  # fmt: skip
    about = rater.client.get("study").text
    assert not any(word in about for word in ("photos", "model", "exclusion", "quota"))
    done = rater.run(lambda trial, sets: "real", site.sets)
    assert len(done) == 12
    sizes = {}
    for name in itertools.islice(site.sets, 6):
        answer = rater.client.get(f"pictures/{name}")
        assert answer.headers["content-type"] == "image/webp"
        sizes[name] = len(answer.content)
    assert rater.client.get("pictures/nosuch").status_code == 404
    assert rater.client.get("").status_code == 200


# ---- votes


def test_the_same_vote_again_counts_once(site: Site) -> None:
    rater = site.rater()
    trial = rater.next()
    rater.wait(trial)
    first = rater.vote(trial, "real")
    again = rater.vote(trial, "real")
    assert again["correct"] == first["correct"]
    assert again["next"]["position"] == first["next"]["position"] == 1
    assert rater.vote(trial, "fake", expect=409)["kind"] == "replayed"
    assert [row.answer for row in site.rows(votes)] == ["real"]
    assert [row.kind for row in site.rows(incidents)] == ["replayed"]


def test_many_copies_of_a_vote_at_once_count_once(site: Site) -> None:
    rater = site.rater()
    trial = rater.next()
    rater.wait(trial)
    answers: list[int] = []

    def send() -> None:
        answers.append(site.post("votes", link=rater.link, token=trial["token"], answer="real")[0])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert site.count(votes) == 1
    assert rater.next()["position"] == 1


def test_forged_and_foreign_votes_are_refused(site: Site) -> None:
    rater, other = site.rater(), site.rater()
    trial, foreign = rater.next(), other.next()
    rater.wait(trial)
    body, _, mac = trial["token"].rpartition("_")
    position, exposure, issued = body.split("_")
    forged = [
        "",
        "x",
        body,
        f"{body}_{'0' * 32}",
        f"{int(position) + 1}_{exposure}_{issued}_{mac}",
        f"{position}_500.0_{issued}_{mac}",
        f"{position}_{exposure}_{int(issued) - 10_000}_{mac}",
        foreign["token"],
        "_é_ü_",
    ]
    for token in forged:
        assert rater.vote(trial | {"token": token}, "real", expect=403)["kind"] == "forged"
    assert site.count(votes) == 0
    assert Counter(row.kind for row in site.rows(incidents)) == {"forged": len(forged)}
    rater.vote(trial, "real")


def test_votes_out_of_order_are_refused(site: Site) -> None:
    """A token of a later trial can only be had by answering up to it; another tab's answers were deleted."""
    rater = site.rater()
    done = rater.run(lambda trial, sets: "real", site.sets, most=3)
    later = done[-1]
    store = open_study(site.place)

    def back(connection: Any) -> None:
        connection.execute(votes.delete())
        connection.execute(participants.update().values(position=0))

    store.write(back)
    store.close()
    assert rater.vote(later, "real", expect=409)["kind"] == "out-of-order"
    assert site.count(votes) == 0
    assert rater.next()["position"] == 0


@study("hype-time", task={"blocks": 1, "trials": 4}, practice=0, attention_checks=0)
def test_a_vote_before_the_picture_can_have_been_seen_is_refused(site: Site) -> None:
    rater = site.rater()
    trial = rater.next()
    assert trial["exposure_ms"] == 300
    assert rater.vote(trial, "real", expect=425)["kind"] == "too-early"
    assert site.count(votes) == 0
    site.clock.wait(0.5 + 0.3 + 5 * 0.03 + 0.05)
    rater.vote(trial, "real", reaction_ms=50)
    assert [row.flags for row in site.rows(votes)] == ["fast"]


@study("hype-time", task={"blocks": 1, "trials": 4}, practice=0, attention_checks=0)
def test_odd_exposures_and_repetitions_are_flagged(site: Site) -> None:
    rater = site.rater()
    flags = []
    for timing in ({}, {"frames_shown": 18}, {"frames_shown": 25}, {"hidden": True}):
        rater.next()  # and again, as after a reload: the trial counts as begun twice
        trial = rater.next()
        rater.wait(trial)
        rater.vote(trial, "real", **timing)
        flags.append(site.rows(votes)[-1].flags)
    assert all("reshown" in one for one in flags)
    planned = [row.frames_planned for row in site.rows(votes)]
    assert ["exposure" in one for one in flags] == [
        False,
        abs(18 - planned[1]) > 1,
        abs(25 - planned[2]) > 1,
        False,
    ]
    assert ["hidden" in one for one in flags] == [False, False, False, True]


@study("hype-time", task={"blocks": 2, "trials": 4}, practice=1, attention_checks=1)
def test_the_staircase_follows_the_answers(site: Site) -> None:
    *done, _ = site.rater().run(lambda trial, sets: "real", site.sets)
    expected = {row.position: row.expected for row in site.rows(trials)}
    for block in (0, 1):
        level = None
        for trial in done:
            if trial["state"] == "main" and trial["block"] == block:
                assert trial["exposure_ms"] == (300 if level is None else level)
                right = expected[trial["position"]] == "real"
                level = trial["exposure_ms"] + (-10 if right else 30)
    assert all(trial["exposure_ms"] is None for trial in done if trial["state"] == "check")
    assert done[0]["exposure_ms"] == 300
    assert len(done[1]["masks"]) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "wrong"),
    [
        (("hype-infinity", {"task": {"trials": 4}}), ["", "maybe", ["real"], {"real": 1}]),
        (("rate", {"task": {"trials": 2}}), ["4", {"realism": 4}, {"realism": 4, "quality": 6}]),
        (("prefer", {"task": {"trials": 3}}), ["real", "up"]),
        (("attributes", {"task": {"trials": 2}}), ["smiling", ["hat"]]),
    ],
    indirect=["site"],
)
def test_what_is_no_answer_is_refused(site: Site, wrong: list[Any]) -> None:
    rater = site.rater()
    trial = rater.next()
    for answer in wrong:
        assert rater.vote(trial, answer, expect=422)["error"]
    body = {"link": rater.link, "token": trial["token"], "answer": None}
    assert rater.client.post("votes", json=body).status_code == 422
    assert site.count(votes) == 0


# ---- deletion


def test_who_withdraws_leaves_nothing(site: Site) -> None:
    stays, leaves = site.rater(recruitment="keep-me"), site.rater(recruitment="drop-me-please")
    stays.run(lambda trial, sets: "real", site.sets)
    leaves.run(lambda trial, sets: "real", site.sets, most=5)
    leaves.vote(leaves.next() | {"token": "x"}, "real", expect=403)
    assert leaves.post("withdraw", link=leaves.link) == {"deleted": True}
    assert leaves.post("next", expect=404, link=leaves.link)["kind"] == "unknown"
    assert leaves.post("withdraw", expect=404, link=leaves.link)["kind"] == "unknown"
    counts = [site.count(table) for table in (participants, trials, votes, incidents)]
    assert counts == [1, 11, 11, 0]
    assert sum(row.planned for row in site.rows(pictures)) == 8
    if not site.place.startswith("postgresql"):
        for path in Path(site.place).parent.glob("*.sqlite*"):
            assert b"drop-me-please" not in path.read_bytes()
        assert b"keep-me" in Path(site.place).read_bytes()


def test_the_researcher_deletes_and_reads(site: Site) -> None:
    rater = site.rater(recruitment="=HYPERLINK(1)")
    rater.run(lambda trial, sets: "real", site.sets)
    store = open_study(site.place)
    secret = Study(store).secret
    (row,) = site.rows(participants)
    base, client = f"{secret}/", site.client
    page = client.get(base)
    assert row.code in page.text
    assert "11 of 11" in page.text
    assert "HYPERLINK" not in page.text
    table = client.get(base + "votes.csv").text.splitlines()
    assert len(table) == 12
    assert table[0].startswith("participant,position,phase,block,sets,pictures,expected,correct")
    assert "HYPERLINK" not in client.get(base + "participants.csv").text
    assert "'=HYPERLINK" in client.get(base + "participants.csv?ids=true").text
    assert "HYPE-infinity" in client.get(base + "results").text
    bare = client.post(base + "delete", json={"code": row.code}, headers={"x-mien": ""})
    assert bare.status_code == 403
    assert client.post(base + "delete", json={"code": "X"}).status_code == 400
    assert client.post(base + "delete", json={"code": row.code}).json() == {"deleted": True}
    assert site.count(participants) == 0
    assert not delete_participant(store, row.code)
    assert read_records(Study(store)).participants == []
    store.close()
    for path in ("", "results", "votes.csv"):
        assert client.get(f"{'x' * len(secret)}/{path}").status_code == 404


@study("hype-infinity", task={"trials": 4}, practice=0, attention_checks=0, questions=[AGE], quota=9)
def test_the_researcher_sees_quotas_and_refused_requests(site: Site) -> None:
    """Who has finished counts in the quotas, all of them and by answer; refusals are counted by kind."""
    for age in ("young", "old", "old"):
        rater = site.rater(answers={"age": age})
        trial = rater.next()
        rater.wait(trial)
        if age == "young":
            assert rater.vote(trial | {"token": "x"}, "real", expect=403)["kind"] == "forged"
            continue
        rater.run(lambda trial, sets: "real", site.sets)
    store = open_study(site.place)
    page = site.client.get(f"{Study(store).secret}/").text
    records = read_records(Study(store))
    store.close()
    rows = re.findall(r'<th scope="row">(\w[^<]*)</th><td class="num">(\d+)</td><td class="num">(\d+)<', page)
    assert rows == [("all", "2", "9"), ("age: young", "0", "1")]
    assert "Refused requests: forged 1." in page
    assert records.incidents == {"forged": 1}
    assert [one.refused for one in records.participants] == [1, 0, 0]


@study("hype-infinity", task={"trials": 4}, exclusion={"unfinished": True, "fast_share": 1.0})
def test_who_stops_early_is_left_out_where_the_design_says_so(site: Site) -> None:
    early, whole = site.rater(), site.rater()
    early.run(lambda trial, sets: "real", site.sets, most=4)
    whole.run(lambda trial, sets: "real", site.sets)
    store = open_study(site.place)
    records = read_records(Study(store))
    store.close()
    assert [one.left_out for one in records.participants] == ["did not finish", ""]
    assert {vote.participant for vote in records.kept} == {whole.link.partition(".")[0]}


def test_a_vote_of_somebody_deleted_is_refused_and_leaves_no_trace(site: Site) -> None:
    rater = site.rater()
    trial = rater.next()
    rater.wait(trial)
    store = open_study(site.place)
    assert delete_participant(store, rater.link.partition(".")[0])
    store.close()
    assert rater.vote(trial, "real", expect=404)["kind"] == "unknown"
    assert (site.count(votes), site.count(incidents)) == (0, 0)


# ---- many at once


@pytest.mark.slow
@study("hype-infinity", count=60, task={"trials": 34}, practice=4, attention_checks=2, quota=50)
@pytest.mark.parametrize("count", [50])
def test_fifty_raters_at_once_lose_and_double_nothing(site: Site, count: int) -> None:
    acknowledged: list[tuple[str, int]] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            rater = site.rater()
            *done, end = rater.run(lambda trial, sets: "real", site.sets)
            assert end["state"] == "end"
            acknowledged.extend((rater.link.partition(".")[0], trial["position"]) for trial in done)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(acknowledged) == len(set(acknowledged)) == 40 * count
    store = open_study(site.place)
    with store.reading() as connection:
        query = (
            select(participants.c.code, trials.c.position)
            .join(votes, votes.c.participant_id == participants.c.id)
            .join(trials, trials.c.id == votes.c.trial_id)
        )
        saved = [tuple(row) for row in connection.execute(query)]
        planned = connection.execute(
            select(func.min(pictures.c.planned), func.max(pictures.c.planned)).where(
                pictures.c.role == "main"
            )
        ).one()
    store.close()
    assert sorted(saved) == sorted(acknowledged)
    assert planned[1] - planned[0] <= 1
