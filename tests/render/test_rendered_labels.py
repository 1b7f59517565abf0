"""Labels are true: what they say can be measured in the pixels and the part mask."""

from dataclasses import replace

import numpy as np
import pytest

from mien.render.heads import Picture, render_one
from mien.render.labels import ATTRIBUTES
from mien.render.person import Person
from mien.render.shot import ACTION_UNITS, Shot
from mien.render.surface import PART

SIZE = 64


def _make(person: Person, shot: Shot, **units: float) -> Picture:
    chosen = {int(name[2:]): value for name, value in units.items()}
    return render_one(person, replace(shot, action_units=chosen), size=SIZE)


def _y(picture: Picture, name: str) -> float:
    return float(picture.labels["landmarks"][name][1])


def _x(picture: Picture, name: str) -> float:
    return float(picture.labels["landmarks"][name][0])


def _pixels(picture: Picture, *names: str) -> int:
    return int(np.isin(picture.parts, [PART[n] for n in names]).sum())


@pytest.fixture(scope="module")
def neutral(person: Person, plain: Shot) -> Picture:
    return _make(person, plain)


def test_every_unit_changes_the_picture_in_its_region(person: Person, plain: Shot, neutral: Picture) -> None:
    nose = _y(neutral, "nose_tip")
    for unit in ACTION_UNITS:
        moved = render_one(person, replace(plain, action_units={unit: 5.0}), size=SIZE)
        change = np.abs(moved.image.astype(int) - neutral.image).sum(axis=0)
        rows = change.sum(axis=1)
        centre = float((rows * np.arange(SIZE)).sum() / rows.sum())
        assert change.max() > 60, unit
        assert (centre < nose) == (unit in (1, 2, 4, 5, 6, 9, 43)), (unit, centre, nose)
        assert moved.labels["action_units"][f"AU{unit:02d}"] == 5.0


def test_brows(person: Person, plain: Shot, neutral: Picture) -> None:
    inner, outer, lowered = (_make(person, plain, **{u: 5.0}) for u in ("au1", "au2", "au4"))
    assert _y(inner, "brow_left_inner") < _y(neutral, "brow_left_inner") - 1
    assert _y(outer, "brow_left_outer") < _y(neutral, "brow_left_outer") - 1
    assert _y(lowered, "brow_left_inner") > _y(neutral, "brow_left_inner") + 1
    gap = [_x(p, "brow_right_inner") - _x(p, "brow_left_inner") for p in (neutral, lowered)]
    assert gap[1] < gap[0]


def test_eyes_open_and_close(person: Person, plain: Shot, neutral: Picture) -> None:
    wide, tight, closed = (_make(person, plain, **{u: 5.0}) for u in ("au5", "au6", "au43"))
    assert _pixels(wide, "eye", "iris") > _pixels(neutral, "eye", "iris")
    assert _pixels(tight, "eye", "iris") < _pixels(neutral, "eye", "iris")
    assert _pixels(neutral, "iris") > 4
    assert _pixels(closed, "eye", "iris") == 0
    assert neutral.labels["visible"]["pupil_left"]
    assert not closed.labels["visible"]["pupil_left"]


def test_mouth_corners(person: Person, plain: Shot, neutral: Picture) -> None:
    smile, sad, stretched = (_make(person, plain, **{u: 5.0}) for u in ("au12", "au15", "au20"))
    assert _y(smile, "mouth_left") < _y(neutral, "mouth_left") - 1
    assert _x(smile, "mouth_left") < _x(neutral, "mouth_left") - 0.7
    assert _y(sad, "mouth_left") > _y(neutral, "mouth_left") + 1
    assert _x(stretched, "mouth_right") > _x(neutral, "mouth_right") + 1
    assert smile.labels["attributes"]["Smiling"]
    assert not neutral.labels["attributes"]["Smiling"]


def test_mouth_opens_and_jaw_drops(person: Person, plain: Shot, neutral: Picture) -> None:
    parted, dropped = _make(person, plain, au25=5.0), _make(person, plain, au25=3.0, au26=5.0)
    assert _pixels(neutral, "mouth") == 0
    assert _pixels(parted, "mouth") > 5
    assert _pixels(dropped, "mouth") > _pixels(parted, "mouth")
    assert _y(dropped, "chin") > _y(neutral, "chin") + 2
    assert not neutral.labels["attributes"]["Mouth_Slightly_Open"]
    assert parted.labels["attributes"]["Mouth_Slightly_Open"]


def test_parts_lie_where_the_landmarks_are(neutral: Picture) -> None:
    def part_at(name: str) -> int:
        return int(neutral.parts[int(_y(neutral, name)), int(_x(neutral, name))])

    assert part_at("nose_tip") == PART["nose"]
    assert part_at("pupil_left") == part_at("pupil_right") == PART["iris"]
    assert part_at("brow_left_middle") == PART["brow"]
    assert part_at("forehead") in (PART["skin"], PART["hair"])
    assert part_at("chin") == PART["skin"]
    assert neutral.labels["visible"]["chin"]
    for name in ("nose_tip", "mouth_left", "eye_left_inner", "brow_right_outer", "nose_root"):
        assert neutral.labels["visible"][name], name


@pytest.mark.parametrize("kind", ["round", "square", "wide", "sun"])
def test_glasses_are_labelled_when_seen(person: Person, plain: Shot, neutral: Picture, kind: str) -> None:
    worn = render_one(person, replace(plain, glasses=kind), size=SIZE)
    assert worn.labels["attributes"]["Eyeglasses"]
    assert _pixels(worn, "glasses") > 20
    assert not neutral.labels["attributes"]["Eyeglasses"]
    assert _pixels(neutral, "glasses") == 0
    assert worn.labels["visible"]["pupil_left"] == (kind != "sun")


@pytest.mark.parametrize("kind", ["beanie", "cap", "brim"])
def test_hats(person: Person, plain: Shot, kind: str) -> None:
    worn = render_one(person, replace(plain, hat=kind), size=SIZE)
    assert worn.labels["attributes"]["Wearing_Hat"]
    assert _pixels(worn, "hat") > 150
    assert worn.labels["visible"]["pupil_left"]


def test_earrings_count_only_when_seen(person: Person, plain: Shot) -> None:
    short = render_one(person, replace(plain, earrings=True), size=SIZE)
    assert short.labels["attributes"]["Wearing_Earrings"]
    long = render_one(replace(person, hair_style="long"), replace(plain, earrings=True), size=SIZE)
    assert _pixels(long, "earring") == 0
    assert not long.labels["attributes"]["Wearing_Earrings"]


def test_hair_colours_are_ordered_by_light(person: Person, plain: Shot) -> None:
    from mien.render.person import sample_person

    found: dict[str, float] = {}
    for seed in range(400):
        other = sample_person(seed)
        if other.hair_colour in found:
            continue
        dressed = replace(person, hair=other.hair, hair_colour=other.hair_colour, hair_style="crop")
        picture = render_one(dressed, plain, size=32)
        found[other.hair_colour] = float(picture.image[:, picture.parts == PART["hair"]].mean())
        names = {"black": "Black_Hair", "brown": "Brown_Hair", "blond": "Blond_Hair", "gray": "Gray_Hair"}
        said = [n for n in names.values() if picture.labels["attributes"][n]]
        assert said == [names[other.hair_colour]] if other.hair_colour in names else said == []
    assert set(found) == {"black", "brown", "red", "blond", "gray"}
    assert found["black"] < found["brown"] < found["blond"]


def test_bald_people_show_no_hair(person: Person, plain: Shot) -> None:
    picture = render_one(replace(person, hair_style="bald"), plain, size=SIZE)
    assert _pixels(picture, "hair") == 0
    told = picture.labels["attributes"]
    assert told["Bald"]
    assert not any(
        told[n] for n in ("Black_Hair", "Straight_Hair", "Wavy_Hair", "Bangs", "Receding_Hairline")
    )


def test_bangs_cover_the_forehead(person: Person, plain: Shot) -> None:
    fringe = render_one(replace(person, hair_style="fringe_bob"), plain, size=SIZE)
    x, y = fringe.labels["landmarks"]["forehead"]
    assert fringe.parts[int(y), int(x)] == PART["hair"]
    assert fringe.labels["attributes"]["Bangs"]
    assert not fringe.labels["visible"]["forehead"]


@pytest.mark.parametrize(
    ("beard", "true"),
    [
        ("mustache", {"Mustache"}),
        ("goatee", {"Mustache", "Goatee"}),
        ("full", {"Mustache", "Goatee", "Sideburns"}),
    ],
)
def test_beards(person: Person, plain: Shot, beard: str, true: set[str]) -> None:
    picture = render_one(replace(person, beard=beard), plain, size=SIZE)
    told = picture.labels["attributes"]
    assert {n for n in ("Mustache", "Goatee", "Sideburns") if told[n]} == true
    assert not told["No_Beard"]
    assert _pixels(picture, "beard") > 10


def test_lipstick_and_skin_colour_show(person: Person, plain: Shot, neutral: Picture) -> None:
    painted = render_one(person, replace(plain, lipstick=1.0), size=SIZE)
    lips = neutral.parts == PART["lips"]

    def redness(picture: Picture) -> float:
        red, green, _ = picture.image[:, lips].astype(float).mean(axis=1)
        return float(red / green)

    assert redness(painted) > redness(neutral) * 1.1
    assert painted.labels["attributes"]["Wearing_Lipstick"]
    pale = render_one(replace(person, skin=(0.8, 0.56, 0.46), melanin=0.0), plain, size=SIZE)
    assert pale.labels["attributes"]["Pale_Skin"]
    skin = neutral.parts == PART["skin"]
    assert pale.image[:, skin].mean() > neutral.image[:, skin].mean() + 10


def test_attribute_names_are_celebas(neutral: Picture) -> None:
    assert tuple(neutral.labels["attributes"]) == ATTRIBUTES
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert len(set(ATTRIBUTES)) == len(ATTRIBUTES) == 36
