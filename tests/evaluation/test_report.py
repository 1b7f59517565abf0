"""The report: what it says of a run, and how the page behaves in a real browser."""

import base64
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.core.artefacts import artefact_path
from mien.core.atomic import write_bytes
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.errors import InputError
from mien.core.image import grid, to_float
from mien.core.packed import PackWriter, encode_png
from mien.core.picture import read_picture
from mien.core.provenance import Provenance, save_animation, save_picture, verify
from mien.core.run import RunFolder
from mien.core.score import Score, comparable
from mien.core.types import Spec
from mien.datasets.opening import open_dataset
from mien.evaluation import neighbours
from mien.evaluation.measure import append_scores
from mien.evaluation.psi_curve import curves_of
from mien.evaluation.report import write_report
from mien.models import lite
from mien.nn.lpips import Lpips
from mien.reports import charts, inline_images, score_tables, sentences
from mien.reports.charts import Mark, Series, line_chart
from mien.reports.log import Log, groups, read_log

SIZE = 16
MARK = Provenance("lite-x", None, "mien test")
CONFIG = lite.Config(z_dim=8, width_g=4, width_d=4, max_width=8)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
ADVICE = "31% of the sampled faces are near copies of another sample (mode collapse); raise gamma"


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, 3, SIZE, SIZE]: coloured blobs, no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)


def write_dataset(path: Path, count: int = 40, names: Sequence[str] = ()) -> Path:
    with PackWriter(path, class_names=names) as pack:
        for index, image in enumerate(pictures(count)):
            png = encode_png(np.ascontiguousarray(image.transpose(1, 2, 0)))
            pack.add_png(png, label=index % len(names) if names else None)
    return path


def log_line(kimg: int) -> dict[str, Any]:
    return {
        "nimg": kimg * 1000,
        "Progress/kimg": kimg,
        "step": kimg * 16,
        "Timing/total_sec": kimg * 12.5,
        "Timing/img_per_sec": 80.0 + kimg % 3,
        "Loss/D/loss": 0.6 - kimg / 100,
        "Loss/G/loss": 1.0 + kimg / 50,
        "Loss/scores/real": 1.0 + kimg / 10,
        "Loss/scores/fake": -1.0 - kimg / 10,
        "Loss/r1_penalty": 0.01 * 2 ** (kimg / 2),
        "Grad/d": 1.0,
        "Grad/g": 3.0,
    }


def make_run(
    root: Path, data: Path, *, names: tuple[str, ...] = (), dataset_name: str = "blobs", num_ticks: int = 20
) -> RunFolder:
    """A finished run with everything that a report may show."""
    dataset = open_dataset(str(data))
    spec = Spec(SIZE, 3, len(names), names)
    run = RunFolder.create(root, "blobs-lite")
    info = {"name": dataset_name, "content_hash": dataset.content_hash, "num_images": len(dataset)}
    options = {"mirror": True, "seed": 0}
    run.write_config(
        {
            "family": "lite",
            "config": CONFIG.model_dump(),
            "spec": {"resolution": SIZE},
            "dataset": {**info, "source": str(data)},
            "options": options,
            "precision": "fp32",
        }
    )
    torch.manual_seed(0)
    network = lite.build_generator(CONFIG, spec)
    header = NetworkHeader(
        family="lite",
        config=CONFIG.model_dump(),
        spec=spec,
        nimg=20_000,
        tool="mien test",
        dataset=DatasetInfo(**info),
    )
    save_generator(run.generator(20_000), network.state_dict(), header)
    frames = [grid(torch.from_numpy(pictures(16, seed))) for seed in (1, 2, 3)]
    write_bytes(run.reals, encode_png(frames[0]))
    for kimg, frame in zip((0, 10, 20), frames, strict=True):
        save_picture(run.fakes(kimg * 1000), frame, MARK)
    save_animation(run.timelapse, frames, MARK)
    for kimg in range(1, num_ticks + 1):
        run.append_log(log_line(kimg))
    run.append_log({"event": "warning", "kind": "duplicates", "text": ADVICE, "nimg": 5000})
    run.append_log({"event": "rescue", "kind": "penalty", "text": "rescue 1 of 3: back", "nimg": 12_000})
    return run


def score(**changes: Any) -> Score:
    usual: dict[str, Any] = {
        "metric": "frechet",
        "module": "frechet",
        "value": 2.0,
        "better": "lower",
        "network": "mesh",
        "network_hash": "aa",
        "resize": "to 192",
        "num_real": 40,
        "num_fake": 40,
        "dataset_name": "blobs",
        "dataset_hash": "dd",
        "model_id": "lite-1",
        "nimg": 20_000,
        "seeds": "0-39",
        "psi": 1.0,
        "tool": "mien test",
    }
    return Score.model_validate({**usual, **changes})


def baseline(subject: str, **changes: Any) -> Score:
    nothing = {"model_id": None, "nimg": None, "seeds": None, "psi": None}
    return score(subject=subject, **{**nothing, **changes})


ALL_SCORES = [
    score(),
    score(nimg=10_000, model_id="lite-0", value=3.0),
    score(metric="precision", module="prdc", better="higher", value=0.5),
    score(network="vgg-random", network_hash="bb", value=700.0),
    score(metric="swd", module="swd", network=None, network_hash=None, resize=None, value=0.07),
    score(psi=0.7, value=1.0),
    score(num_fake=20, value=2.5),
    score(dataset_hash="other", value=9.0),
    baseline("noise", value=90.0),
    baseline("real-halves", num_real=20, num_fake=20, value=0.5),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache: no mesh artefact, so that neighbours are sought among pixels on every machine."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "runs", write_dataset(tmp_path / "blobs.zip"))


def page_of(run: RunFolder, **options: Any) -> str:
    return write_report(run.path, **options).read_text("utf-8")


def words(page: str) -> str:
    """The text that a reader sees, on one line."""
    body = re.sub(r"<style>.*?</style>", " ", page.partition("<body>")[2], flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


# ---- curves


def path_points(svg: str, series: str) -> int:
    drawn = re.search(rf'data-series="{series}" d="([^"]*)"', svg)
    assert drawn is not None
    return len(re.findall("[ML]", drawn[1]))


def test_a_value_that_is_not_finite_is_a_gap_in_the_line() -> None:
    points = [(float(x), float(x)) for x in range(10)]
    points[4] = (4.0, math.nan)
    points[7] = (7.0, math.inf)
    svg = str(line_chart([Series("r1", points)], title="t"))
    drawn = re.search(r' d="([^"]*)"', svg)
    assert drawn is not None
    assert drawn[1].count("M") == 3, "two gaps part the line into three"
    assert path_points(svg, "r1") == 8
    assert "nan" not in svg.lower()
    assert "inf" not in svg.lower()
    assert Series("r1", points).num_gaps == 2


def test_a_point_between_two_gaps_is_still_seen() -> None:
    points = [(0.0, math.nan), (1.0, 5.0), (2.0, math.nan)]
    assert '<circle class="s0 dot"' in str(line_chart([Series("a", points)], title="t"))


def test_a_chart_of_nothing_finite_is_empty() -> None:
    assert line_chart([Series("a", [(1.0, math.nan)])], title="t") == ""
    assert line_chart([], title="t") == ""


@pytest.mark.parametrize("values", [(0.0, 0.0), (3.0, 3.0), (1e-300, 1e300), (-1e308, 1e308), (5e-324, 1.0)])
def test_extreme_values_are_drawn_inside_the_chart(values: tuple[float, float]) -> None:
    svg = str(line_chart([Series("a", [(1.0, values[0]), (2.0, values[1]), (3.0, values[1])])], title="t"))
    drawn = re.search(r' d="([^"]*)"', svg)
    assert drawn is not None
    numbers = [float(number) for number in re.findall(r"-?[\d.]+|nan|inf", drawn[1])]
    assert all(0 <= number <= 400 for number in numbers)


def test_a_logarithmic_axis_only_where_values_are_positive_and_spread() -> None:
    assert charts.wants_log([0.1, 0.2, 0.1, 14.0])
    assert not charts.wants_log([0.1, 0.2, 0.0, 14.0])
    assert not charts.wants_log([1.0, 2.0, 3.0, 4.0])
    assert "log scale" in line_chart([Series("a", [(1, 0.1), (2, 0.2), (3, 90.0)])], title="t")


def test_thinning_keeps_spikes_and_gaps_and_order() -> None:
    points = [(float(x), 1.0 + (x % 7) / 100) for x in range(10_000)]
    points[5003] = (5003.0, 99.0)
    points[7001] = (7001.0, math.nan)
    kept = charts.thinned(points)
    assert len(kept) <= charts.MAX_POINTS + 10
    assert (5003.0, 99.0) in kept
    assert any(math.isnan(y) for _, y in kept)
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)


def test_axis_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0, 98.3, 5) == [0, 20, 40, 60, 80]
    assert charts.ticks(-2.2, 3.4, 5) == [-2, 0, 2]
    assert charts.ticks(1, 1, 5) == [1]


def test_marks_stand_at_their_kimg_and_are_escaped() -> None:
    svg = line_chart(
        [Series("a", [(0, 1.0), (100, 2.0)])],
        title="t",
        marks=[Mark(50, "rescue", HOSTILE), Mark(500, "warning", "beyond the axis")],
    )
    middle = (50 + 390) / 2
    assert f'class="mark rescue" transform="translate({middle:.1f} ' in svg
    assert "<script" not in svg
    assert "beyond" not in svg


# ---- the log


def test_damaged_log_lines_cost_only_themselves(run: RunFolder) -> None:
    with open(run.log, "ab") as file:
        file.write(b'{"nimg": 21000, "Loss/D/lo\n\xff\xfe\n[1, 2]\n{"Loss/D/loss": 1}\n')
        file.write(b'{"nimg": "many", "Loss/D/loss": 1}\n{"nimg": 22000, "Loss/D/loss": "high"}\n')
        file.write(b'{"nimg": "many", "Progress/kimg": 23, "Loss/D/loss": 0.25}\n')
    log = read_log(run)
    assert log.num_damaged == 5
    assert len(log.ticks) == 22
    assert "Damaged and left out: 5 lines of the log" in words(page_of(run))


def test_curves_are_sorted_into_charts_by_what_they_are_about(run: RunFolder) -> None:
    run.append_log({"nimg": 21_000, "Heat/core": 5.0, "Loss/signs/real": 0.4})
    found = {group.title: [series.name for series in group.series] for group in groups(read_log(run).ticks)}
    assert found == {
        "Discriminator's scores": ["real pictures", "generated pictures"],
        "Losses": ["discriminator", "generator"],
        "Sign of the discriminator's score on real pictures": ["real pictures"],
        "Gradient penalties": ["R1"],
        "Gradient norms": ["discriminator", "generator"],
        "Speed": ["whole loop"],
        "Other figures": ["Heat/core"],
    }


def test_repeated_warnings_become_one_entry_with_all_their_kimgs(run: RunFolder) -> None:
    run.append_log({"event": "warning", "kind": "duplicates", "text": "newest", "nimg": 9000})
    incidents = read_log(run).incidents
    assert [(h.event, h.kimgs) for h in incidents] == [("warning", (5.0, 9.0)), ("rescue", (12.0,))]
    assert incidents[0].text == "newest"


def test_the_verdict_tells_recovery_from_the_end_in_divergence(run: RunFolder) -> None:
    assert "went back and recovered (1 rescue)" in words(page_of(run))
    run.append_log({"event": "warning", "kind": "penalty", "text": "running away", "nimg": 20_500})
    assert "ended in divergence after 1 rescue" in words(page_of(run))
    run.append_log(log_line(21))
    assert "went back and recovered" in words(page_of(run))


def test_a_small_distance_through_an_untrained_network_is_no_praise() -> None:
    def verdict(network: str) -> dict[str, str]:
        quoted = score_tables.Quote("kernel", network, "faces", 1000, 0.0, -0.01, 0.01, 0.0, 2.0)
        log = Log(({"nimg": 1000},), (), (), 0, diverged=False)
        return {sentence: tone for tone, sentence in list(sentences.verdict(log, quoted, None))[1:]}

    assert "good" in verdict("lite0").values()
    assert not any("never trained" in sentence for sentence in verdict("lite0"))
    assert {"plain", "doubt"} == set(verdict("vgg-random").values())
    assert any("artefacts fetch" in sentence for sentence in verdict("vgg-random"))


# ---- scores


def test_only_comparable_scores_share_a_table() -> None:
    lists = score_tables.by_provenance(ALL_SCORES)
    assert sorted(len(several) for several in lists) == [1, 1, 1, 2, 3, 5]
    for several in lists:
        for a in several:
            for b in several:
                alike = a.metric == b.metric and "real-halves" not in (a.subject, b.subject)
                assert not alike or comparable(a, b) == []
    firsts = [several[0] for several in lists]
    for i, a in enumerate(firsts):
        for b in firsts[:i]:
            assert [reason for reason in comparable(a, b) if "different metrics" not in reason]


def test_baselines_stand_beside_what_they_belong_to() -> None:
    lists = score_tables.by_provenance(ALL_SCORES)
    usual = next(several for several in lists if several[0] == ALL_SCORES[0])
    assert {s.subject for s in usual} == {"generator", "noise", "real-halves"}
    vgg = next(several for several in lists if several[0].network == "vgg-random")
    assert {s.subject for s in vgg} == {"generator"}
    (table,) = score_tables.tables(usual, trained_on="dd")
    frechet = table.rows[0]
    assert (frechet.values, frechet.floor, frechet.noise) == (("2", "3"), "0.5", "90")
    assert table.columns == ("at 20 kimg", "at 10 kimg")
    assert any("what it was trained on" in text for _, text in table.provenance)


def test_the_table_that_is_quoted_from_comes_first() -> None:
    pixels = score(metric="swd", module="swd", network=None, network_hash=None, resize=None)
    several = score_tables.tables([pixels, kernel(), kernel(network="lite0")], trained_on="dd")
    assert [table.title for table in several] == ["Features: lite0", "Features: mesh", "Features: pixels"]


def test_halves_of_as_many_pictures_as_a_metric_takes_stand_beside_it() -> None:
    capped = score(metric="faces_fake", module="faces", better="higher", value=0.9)
    halves = baseline("real-halves", metric="faces_fake", module="faces", better="higher", value=0.8)
    (table,) = score_tables.tables([capped, halves], trained_on="dd")
    assert (table.rows[0].values, table.rows[0].floor) == (("0.9",), "0.8")


def kernel(**changes: Any) -> Score:
    usual = {"metric": "kernel", "module": "kernel", "value": 0.2, "low": 0.1, "high": 0.3}
    return score(**{**usual, **changes})


def test_the_kernel_distance_stands_first_with_its_interval_and_frechet_of_a_fixed_count_beside_it() -> None:
    counted = {"num_real": 20, "num_fake": 20}
    scores = [
        score(**counted, value=5.0),
        baseline("real-halves", **counted, value=4.0),
        baseline("noise", **counted, value=300.0),
        kernel(),
        baseline("real-halves", metric="kernel", module="kernel", value=0.001, num_real=20, num_fake=20),
    ]
    (table,) = score_tables.tables(scores, trained_on="dd")
    assert [row.metric for row in table.rows] == ["kernel distance", "Fréchet distance of 20"]
    assert table.rows[0].values == ("0.2 (0.1 to 0.3)",)
    assert table.rows[0].floor == "0.001"
    assert (table.rows[1].values, table.rows[1].floor, table.rows[1].noise) == (("5",), "4", "300")
    assert any("40 generated against 40 real" in text for _, text in table.provenance)


def test_frechet_distances_of_other_counts_never_share_a_row() -> None:
    scores = [kernel(), score(num_real=20, num_fake=20), score(num_real=10, num_fake=10, value=7.0)]
    tables = score_tables.tables(scores, trained_on="dd")
    rows = [row for table in tables for row in table.rows if row.metric.startswith("Fréchet")]
    assert sorted((row.metric, row.values) for row in rows) == [
        ("Fréchet distance of 10", ("7",)),
        ("Fréchet distance of 20", ("2",)),
    ]


def test_a_kernel_distance_with_an_interval_is_quoted_before_a_frechet_distance() -> None:
    found = score_tables.quote([score(network="lite0"), kernel()], trained_on="dd")
    assert found is not None
    assert (found.metric, found.low, found.high) == ("kernel", 0.1, 0.3)
    old = score_tables.quote([score(), kernel(low=None, high=None)], trained_on="dd")
    assert old is not None
    assert old.metric == "frechet"


@pytest.mark.parametrize(("low", "tone"), [(-0.1, "good"), (0.1, "plain")])
def test_chance_is_told_from_difference(low: float, tone: str) -> None:
    found = score_tables.quote([kernel(low=low)], trained_on="dd")
    assert found is not None
    said, words = sentences._quality(found)
    assert said == tone
    assert ("chance" in words) == (tone == "good")


def test_baselines_without_a_generator_have_a_table_of_their_own() -> None:
    lists = score_tables.by_provenance([baseline("noise"), baseline("real-halves")])
    assert [[s.subject for s in several] for several in lists] == [["noise"], ["real-halves"]]


def test_the_quoted_score_is_the_newest_through_the_best_network() -> None:
    found = score_tables.quote(ALL_SCORES, trained_on="dd")
    assert found is not None
    assert (found.network, found.nimg, found.floor, found.noise) == ("mesh", 20_000, 0.5, 90.0)
    assert score_tables.quote([]) is None


def test_the_page_keeps_provenance_apart_and_says_so(run: RunFolder) -> None:
    append_scores(run, ALL_SCORES)
    with open(run.metric("swd"), "ab") as file:
        file.write(b'{"metric": "swd"}\n')
    page = page_of(run)
    assert page.count('<div class="panel score">') == len(score_tables.by_provenance(ALL_SCORES))
    text = words(page)
    assert "must not be compared" in text
    assert "Damaged and left out: 1 line of the score files" in text
    assert "hash aa" in text
    assert "40 generated against 40 real" in text


def at_psi(psi: float, **changes: Any) -> list[Score]:
    """The scores of a psi curve at one psi: precision falls and recall rises with it."""
    values = {"precision": 1 - psi / 2, "recall": psi / 2, "density": 2 - psi, "coverage": psi}
    rows = [
        score(metric=name, module="prdc", better="higher", value=value, low=0.1, high=0.9, psi=psi, **changes)
        for name, value in values.items()
    ]
    return [kernel(psi=psi, value=0.5 - psi / 4, **changes), *rows]


def test_a_psi_curve_is_drawn_over_psi_and_not_shown_as_so_many_tables(run: RunFolder) -> None:
    append_scores(run, [each for psi in (1.0, 0.3, 0.5, 0.7, 0.85) for each in at_psi(psi)])
    page = page_of(run)
    assert page.count('<div class="panel score">') == 1, "psi = 1 is a measurement like any other"
    for name in ("kernel distance", "precision", "recall", "density", "coverage"):
        assert path_points(page, name) == 5
    drawn = re.search(r'data-series="recall" d="M([\d.]+) ([\d.]+)L.*L([\d.]+) ([\d.]+)"', page)
    assert drawn is not None
    left, low, right, high = map(float, drawn.groups())
    assert (left < right, low > high) == (True, True), "from small psi to large; upwards is down in SVG"
    assert "truncation psi" in page
    assert "0.3 0.425 (0.1 to 0.3) 0.85 (0.1 to 0.9) 0.15 (0.1 to 0.9)" in words(page)


def test_scores_at_two_psis_or_of_two_generators_are_no_curve() -> None:
    two = at_psi(1.0) + at_psi(0.7)
    assert curves_of(two) == ([], two)
    assert curves_of(two + at_psi(0.5, model_id="another", nimg=10_000))[0] == []
    old = [each for psi in (1.0, 0.7, 0.5) for each in at_psi(psi, model_id="old", nimg=10_000)]
    new = [each for psi in (1.0, 0.7, 0.5) for each in at_psi(psi)]
    curves, others = curves_of(new + old)
    assert curves == [new], "the newest generator's"
    assert {each.psi for each in others} == {1.0}


# ---- neighbours


@dataclass
class Pile:
    """Pictures as a dataset."""

    pixels: np.ndarray
    name: str = "pile"
    content_hash: str = "pile"
    labels: None = None
    spec: Spec = field(default_factory=lambda: Spec(SIZE))
    records: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return self.pixels[indexes]


def test_a_generator_that_copies_is_found_out_even_when_it_mirrors() -> None:
    reals = pictures(60)
    copies = torch.from_numpy(np.ascontiguousarray(reals[[7, 30, 59]]))
    found = neighbours.nearest(copies, Pile(reals), mirror=False)
    assert [row[0].index for row in found.neighbours] == [7, 30, 59]
    assert [row[0].ratio for row in found.neighbours] == pytest.approx([0, 0, 0], abs=1e-5)
    assert found.suspicious
    assert found.num_copies == 3
    mirrored = copies.flip(3)
    assert neighbours.nearest(mirrored, Pile(reals), mirror=True).num_copies == 3
    assert neighbours.nearest(mirrored, Pile(reals), mirror=False).num_copies == 0


def test_new_pictures_of_the_same_kind_raise_no_suspicion() -> None:
    fresh = torch.from_numpy(pictures(64, seed=1))
    found = neighbours.nearest(fresh, Pile(pictures(300)), mirror=True)
    assert not found.suspicious
    assert found.median == pytest.approx(1, abs=0.1), "as far as real pictures from each other"
    assert all(near == tuple(sorted(near, key=lambda n: n.ratio)) for near in found.neighbours)


def test_one_copy_among_many_is_reported() -> None:
    reals = pictures(300)
    samples = pictures(64, seed=1)
    samples[13] = reals[200] // 2 + 60
    samples[14] = np.clip(reals[201].astype(int) + 2, 0, 255)
    found = neighbours.nearest(torch.from_numpy(samples), Pile(reals), mirror=True)
    assert found.suspicious
    assert found.closest(1) == [14]
    assert found.neighbours[14][0].index == 201


def test_pictures_filed_twice_do_not_hide_what_is_usual() -> None:
    doubled = np.concatenate([pictures(50), pictures(50)])
    found = neighbours.nearest(torch.from_numpy(pictures(20, seed=1)), Pile(doubled), mirror=False)
    assert found.median == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("pixels", [pictures(1), pictures(1).repeat(5, axis=0)])
def test_a_dataset_without_two_different_pictures_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="distance is usual"):
        neighbours.nearest(torch.from_numpy(pictures(2)), Pile(pixels), mirror=False)


def test_the_first_sentence_says_what_matters_most() -> None:
    """Copies before closeness, closeness before strangeness; nothing found is said with what is usual."""

    def found(*ratios: float) -> neighbours.NearestNeighbours:
        rows = tuple((neighbours.Neighbour(0, ratio),) for ratio in ratios)
        return neighbours.NearestNeighbours("pixels", rows, 50, 50, usual=1.0, close=0.8)

    for ratios, tone, words in (
        ((0.1, 0.7, 0.7, 3.0), "doubt", "by heart: 1 of 4 samples are all but copies of training pictures."),
        ((0.7, 0.7, 3.0, 3.0), "doubt", "It may have learned pictures by heart: 50% of 4 samples lie closer"),
        ((2.0, 3.0, 3.4, 4.0), "doubt", "do not look like the training pictures yet: they are typically 3.2"),
        ((0.9, 1.0, 1.1, 1.2), "good", "No sign that it repeats its training pictures: 0% of 4 samples lie"),
        ((2.5, 2.5, 2.5, 2.5), "good", "No sign"),
    ):
        told, sentence = found(*ratios).verdict
        assert told == tone
        assert words in sentence
    calm, copying = found(1.0, 1.1), found(0.1, 1.1)
    assert neighbours.memorisation([calm, copying]) == copying.verdict
    assert neighbours.memorisation([calm, found(3.0)]) == calm.verdict
    assert neighbours.memorisation([]) is None


LPIPS = artefact_path("lpips-alexnet")


@pytest.mark.skipif(LPIPS is None, reason="the lpips-alexnet artefact is not cached")
def test_the_nearest_by_lpips_are_those_of_the_distance_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios of its root, picture by picture; of larger pictures fewer are compared, as told."""
    assert LPIPS is not None
    monkeypatch.setenv("MIEN_CACHE", str(LPIPS.parents[1]))
    coarse = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8))
    pixels = torch.nn.functional.interpolate(coarse.float(), 32, mode="bilinear").to(torch.uint8)
    samples, reals = pixels[:3], pixels[3:]
    steps: list[tuple[int, int]] = []
    pile = Pile(reals.numpy(), spec=Spec(32, 1))
    found = neighbours.nearest(
        samples, pile, mirror=False, space="lpips", progress=lambda *step: steps.append(step)
    )
    network = Lpips.load("alexnet")
    ours, theirs = (to_float(images).expand(-1, 3, -1, -1) for images in (samples, reals))

    def far(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
        rows = [network(one[None].expand(len(b), -1, -1, -1), b).sqrt() for one in a]
        return torch.stack(rows).double().numpy()

    among = far(theirs, theirs)
    np.fill_diagonal(among, np.inf)
    usual, distances = np.median(among.min(1)), far(ours, theirs)
    assert found.usual == pytest.approx(usual, rel=1e-3)
    for row, expected in zip(found.neighbours, distances, strict=True):
        assert [near.index for near in row] == np.argsort(expected)[:4].tolist()
        assert [near.ratio for near in row] == pytest.approx(np.sort(expected)[:4] / usual, rel=1e-3)
    assert steps == [(9, 9)]
    monkeypatch.setitem(neighbours._MOST_REALS, "lpips", 12)
    large = np.ascontiguousarray(reals.numpy().repeat(3, 2).repeat(3, 3))
    fewer = neighbours.nearest(
        torch.from_numpy(large[:1]), Pile(large, spec=Spec(96, 1)), mirror=False, space="lpips"
    )
    assert (fewer.num_reals, fewer.num_all) == (5, 9)
    assert fewer.neighbours[0][0].index == 0
    assert fewer.neighbours[0][0].ratio == pytest.approx(0, abs=1e-3)


# ---- the page, and what it does without


def test_a_generator_that_cannot_draw_costs_only_the_samples(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> None:
        raise RuntimeError("not enough\n memory")

    monkeypatch.setattr("mien.evaluation.report.draw_samples", fails)
    page = write_report(run.path).read_text("utf-8")
    assert "No samples could be drawn (RuntimeError: not enough memory)." in page
    assert "There are no samples to compare with training pictures." in page
    assert "Loss/D/loss" in page or "<svg" in page


def test_the_report_lands_where_it_is_asked_for(run: RunFolder, tmp_path: Path) -> None:
    assert write_report(run.path) == run.report
    out = tmp_path / "new" / "page.html"
    assert write_report(run.path, out=out) == out
    assert out.stat().st_size < 8_000_000
    for folder in (tmp_path, tmp_path / "other"):
        assert write_report(run.path, out=folder) == folder / "report.html"
    (tmp_path / "photo.png").write_bytes(b"dear")
    with pytest.raises(InputError, match=r"a page's name ends in .html"):
        write_report(run.path, out=tmp_path / "photo.png")
    assert (tmp_path / "photo.png").read_bytes() == b"dear"
    with pytest.raises(InputError, match="no such run folder"):
        write_report(tmp_path / "nowhere")


def test_the_page_names_what_was_trained_on_what_and_how_long(run: RunFolder) -> None:
    text = words(page_of(run))
    assert "family lite for faces of 16 pixels, trained on 40 pictures (blobs) for 4 min" in text
    assert "has not been measured yet" in text
    config = run.read_config()
    run.write_config({**config, "start": {"packaged": "faces-64"}})
    assert "beginning with faces-64, the model that comes with mien" in words(page_of(run))


def test_a_dataset_that_is_gone_costs_only_the_neighbours(run: RunFolder, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.zip"
    (tmp_path / "blobs.zip").rename(moved)
    page = page_of(run)
    assert "training pictures are not at hand" in words(page)
    assert page.count("seed ") >= 24
    assert '<ul class="near">' not in page
    assert '<ul class="near">' in page_of(run, data=str(moved))


def test_other_pictures_than_the_trained_ones_are_called_so(run: RunFolder, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other.zip", count=20)
    assert "does not hold the pictures that the run was trained on" in words(page_of(run, data=str(other)))


def test_a_bare_run_folder_gives_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "bare")
    run.write_config({})
    text = words(page_of(run))
    for said in (
        "saved no generator yet",
        "no timelapse yet",
        "Nothing was measured yet",
        "The log holds no figures",
        "does not say on what the run was trained",
        "It could not be shown",
    ):
        assert said in text


def test_damaged_files_cost_only_themselves(run: RunFolder) -> None:
    older = run.generator(10_000)
    shutil.copy(run.newest_generator(), older)
    for path in (run.newest_generator(), run.timelapse, run.reals):
        data = bytearray(path.read_bytes())
        path.write_bytes(data[: len(data) // 2])
    (run.path / "config.json").write_text("{", "utf-8")
    text = words(page_of(run))
    assert "generator-000010.safetensors" in text
    assert "The timelapse could not be shown" in text
    assert "cut off" in text
    assert "config.json: cannot be read" in text
    assert "seed 23" in text


def test_a_heavy_timelapse_is_thinned_to_its_limit(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 160, 160, 3), dtype=np.uint8)
    noise[-1] = 200
    save_animation(run.timelapse, list(noise), MARK, milliseconds=100)
    assert run.timelapse.stat().st_size > 400_000
    monkeypatch.setattr(inline_images, "_MOST_ANIMATION_BYTES", 200_000)
    film, still = inline_images.show_timelapse(run)
    assert len(base64.b64decode(film.uri.partition(",")[2])) <= 200_000
    assert film.width >= 96
    last = read_picture(base64.b64decode(still.uri.partition(",")[2]))
    assert last.mean() == pytest.approx(200, abs=3), "the last frame stays"


def test_a_log_with_half_a_character_is_still_written(run: RunFolder) -> None:
    with open(run.log, "ab") as file:
        file.write(b'{"event": "warning", "kind": "x", "text": "\\ud800 odd", "nimg": 1000}\n')
    assert "? odd" in words(page_of(run))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data.zip", names=(HOSTILE, "plain"))
    run = make_run(tmp_path / "runs", data, names=(HOSTILE, "plain"), dataset_name=HOSTILE)
    run.append_log({"event": HOSTILE, "kind": HOSTILE, "text": HOSTILE, "nimg": 2000})
    run.append_log({"nimg": 21_000, HOSTILE: 1.0})
    append_scores(run, [score(dataset_name=HOSTILE, metric=HOSTILE, warnings=(HOSTILE,))])
    page = page_of(run)
    assert "<script" not in page.lower()
    assert "<img src=x" not in page
    assert words(page).count(HOSTILE) > 10


# ---- in a browser


@dataclass
class Seen:
    """What a browser made of a page."""

    requests: list[str]
    complaints: list[str]
    page: Any


def visit(browser: Any, path: Path, *, width: int = 1100, scheme: str = "light") -> Seen:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    seen = Seen([], [], page)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
    return seen


def test_the_page_in_a_browser(browser: Any, run: RunFolder) -> None:
    append_scores(run, ALL_SCORES)
    path = write_report(run.path)
    seen = visit(browser, path)
    outside = [url for url in seen.requests if not url.startswith("data:") and url != path.as_uri()]
    assert outside == []
    assert seen.complaints == []
    widths = seen.page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 24 + 1 + 2 + 8 * 5, "samples, timelapse, two grids, neighbours"
    assert min(widths) > 0
    alts = seen.page.evaluate("[...document.images].map(image => image.alt)")
    assert all(alts)
    drawn = seen.page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('svg path[data-series]')].map("
        "path => [path.dataset.series, path.getAttribute('d').split(/[ML]/).length - 1]))"
    )
    assert drawn["real pictures"] == 20
    assert drawn["R1"] == 20
    assert drawn["whole loop"] == 20
    assert seen.page.locator(".chart").count() == 5
    assert seen.page.locator(".chart .mark.rescue").count() == 5
    assert ADVICE in seen.page.locator("#warnings ~ ul").inner_text()
    assert seen.page.locator(".near li").count() == 8
    assert seen.page.locator(".near li").first.locator("figure").count() == 5
    assert seen.page.locator("table").first.locator("th[scope=row]").count() == 2


def test_the_page_styles_itself_and_fits_a_telephone_in_the_dark(browser: Any, run: RunFolder) -> None:
    append_scores(run, ALL_SCORES)
    path = write_report(run.path)
    light, dark = visit(browser, path), visit(browser, path, width=360, scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert light.page.evaluate(colour) == "rgb(250, 249, 247)", "the style sheet passes its own policy"
    assert dark.page.evaluate(colour) != light.page.evaluate(colour)
    assert dark.page.evaluate("document.documentElement.scrollWidth") <= 360
    details = dark.page.locator("details", has_text="Files behind this page").last
    details.locator("summary").focus()
    dark.page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    assert details.locator("code").first.is_visible()


def test_hostile_names_do_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data.zip", names=(HOSTILE, "plain"))
    run = make_run(tmp_path / "runs", data, names=(HOSTILE, "plain"), dataset_name=HOSTILE)
    run.append_log({"event": "warning", "kind": HOSTILE, "text": HOSTILE, "nimg": 2000})
    seen = visit(browser, write_report(run.path))
    assert seen.page.title() == f"{run.name}: report"
    assert seen.complaints == []
    assert seen.page.evaluate("document.scripts.length") == 0
    assert HOSTILE in seen.page.locator("figcaption .class").all_inner_texts()
    assert seen.page.evaluate("[...document.images].every(image => image.src.startsWith('data:'))")


@pytest.mark.slow
def test_the_policy_stops_what_would_slip_through(browser: Any, run: RunFolder) -> None:
    path = write_report(run.path)
    smuggled = "<script>document.title='owned'</script><img src='https://example.org/x.png'></main>"
    path.write_text(path.read_text("utf-8").replace("</main>", smuggled), "utf-8")
    seen = visit(browser, path)
    assert seen.page.title() == f"{run.name}: report"
    assert any("Content Security Policy" in complaint for complaint in seen.complaints)


@pytest.mark.slow
def test_marks_survive_in_the_page(run: RunFolder, tmp_path: Path) -> None:
    page = page_of(run)
    found = re.search(r'<img src="data:image/webp;base64,([^"]+)"[^>]*alt="generated face, seed 3', page)
    assert found is not None
    path = tmp_path / "one.webp"
    path.write_bytes(base64.b64decode(found[1]))
    mark = verify(path)
    assert mark is not None
    assert mark.seed == 3
    assert mark.model.startswith("lite-")
