"""Evaluating a small generator against a small dataset, from end to end."""

import hashlib
import io
import json
import re

import numpy as np
import pytest
import torch
from rich.console import Console

from contracts.metric_contract import smooth_pictures
from mien.cli import main
from mien.core import artefacts, discover
from mien.core.checkpoint import NetworkHeader, model_id, save_generator
from mien.core.errors import InputError, MienError
from mien.core.packed import PackWriter, encode_png
from mien.core.run import RunFolder
from mien.core.score import comparable
from mien.core.types import Spec
from mien.datasets.opening import open_dataset
from mien.evaluation.evaluate import ranking, ranking_table, table
from mien.evaluation.extraction import features_of_shard, open_classifier
from mien.evaluation.image_sets import data_of, open_fakes, open_reals
from mien.evaluation.measure import _modules, append_scores, measure, measure_all
from mien.evaluation.psi_curve import curve_tables, psi_curve
from mien.metrics import frechet, swd
from mien.metrics.features import open_network
from mien.models import attributes, lite
from mien.reports.score_tables import read_scores
from mien.terminal import rich_table

CHEAP = {"networks": ["vgg-random"], "metrics": ["kernel", "prdc", "swd"], "fetch": False}


@pytest.fixture(scope="module")
def common_cache(tmp_path_factory):
    """Where features of the data are that many tests measure against; tests of the cache have their own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _in_a_cache(monkeypatch, common_cache):
    monkeypatch.setenv("MIEN_CACHE", str(common_cache))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def empty_cache(_in_a_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_data(path, *, count=24, size=32, labels=False):
    rng = np.random.RandomState(0)
    with PackWriter(path) as pack:
        for index in range(count):
            image = np.repeat(np.repeat(rng.randint(0, 256, (size // 8, size // 8, 3)), 8, 0), 8, 1)
            pack.add_png(encode_png(image.astype(np.uint8)), index % 3 if labels else None)
    return str(path)


def write_generator(path, *, size=32, label_dim=0, label_rows=()):
    config = lite.Config(width_g=4, width_d=4, max_width=8, z_dim=5)
    spec = Spec(size, 3, label_dim)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = lite.build_generator(config, spec)
    header = NetworkHeader(
        family="lite",
        config=config.model_dump(),
        spec=spec,
        nimg=3000,
        tool="mien test",
        label_rows=label_rows,
    )
    save_generator(path, network.state_dict(), header)
    return path


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "runs", "lite")
    folder.write_config({"family": "lite"})
    write_generator(folder.generator(3000))
    return folder


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data.zip")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_every_score_carries_what_it_was_computed_with(run, data):
    ticks = []
    scored = []
    scores = measure(
        run.path,
        data,
        **CHEAP,
        num_fake=20,
        seed=5,
        progress=lambda *tick: ticks.append(tick),
        scoring=lambda *tick: scored.append(tick),
    )
    assert scored[-1][0] == scored[-1][1] == len(scored)  # a metric at a time, of the fakes and of the halves
    ours = {score.metric: score for score in scores if score.subject == "generator"}
    assert {"kernel", "precision", "recall", "density", "coverage", "swd_16"} <= set(ours)
    kernel, pixels = ours["kernel"], ours["swd_16"]
    assert (kernel.num_real, kernel.num_fake, kernel.seeds, kernel.psi) == (24, 20, "5-24", 1.0)
    assert (kernel.network, kernel.resize) == ("vgg-random", "bicubic antialiased to 64")
    assert kernel.model_id == model_id(run.newest_generator())
    assert kernel.nimg == 3000
    assert kernel.better == "lower"
    assert kernel.low < kernel.value < kernel.high
    assert pixels.low < pixels.value < pixels.high
    assert pixels.network is None
    assert (pixels.num_real, pixels.num_fake) == (20, 20)
    assert str(run.path) not in kernel.model_dump_json()
    assert ticks[-1] == (44, 44)
    assert ticks == sorted(ticks)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_scores_are_appended_to_the_run_and_read_back(run, data):
    first = measure(run.path, data, **CHEAP, num_fake=16)
    second = measure(run.path, data, **CHEAP, num_fake=16)
    assert first == second  # same seeds, same data: the same numbers, features from the cache or not
    lines = run.metric("prdc").read_text().splitlines()
    assert len(lines) == 2 * sum(score.module == "prdc" for score in first)
    assert json.loads(lines[0])["dataset_name"] == "data"
    assert sorted(map(repr, read_scores(run)[0])) == sorted(map(repr, first + second))


@pytest.mark.slow
def test_a_file_alone_is_scored_and_nothing_is_written_beside_it(tmp_path, data):
    file = write_generator(tmp_path / "alone" / "g.safetensors")
    assert measure(file, data, **CHEAP, num_fake=16, floor=False)
    assert [path.name for path in file.parent.iterdir()] == ["g.safetensors"]


@pytest.mark.slow
def test_baselines_are_labelled_and_may_be_compared(run, data):
    scores = measure(run.path, data, **CHEAP, num_fake=24, noise_baseline=True)
    by_subject = {score.subject: score for score in scores if score.metric == "kernel"}
    assert set(by_subject) == {"generator", "noise", "real-halves"}
    assert by_subject["noise"].model_id is None
    assert comparable(by_subject["generator"], by_subject["noise"]) == []
    halves = by_subject["real-halves"]
    assert (halves.num_real, halves.num_fake) == (12, 12)
    assert comparable(by_subject["generator"], halves) != []
    assert halves.value < by_subject["noise"].value


@pytest.mark.slow
def test_cached_features_are_used_and_a_damaged_cache_is_computed_anew(run, data, empty_cache):
    first = measure(run.path, data, **CHEAP, num_fake=16)
    (file,) = (empty_cache / "features").glob("*.npy")
    np.save(file, np.load(file) + 100)
    moved = measure(run.path, data, **CHEAP, num_fake=16)
    assert moved[0].value > first[0].value + 100
    file.write_bytes(b"\x93NUMPY damaged")
    assert measure(run.path, data, **CHEAP, num_fake=16) == first


@pytest.mark.slow
def test_labels_are_drawn_for_a_conditional_generator(tmp_path):
    file = write_generator(tmp_path / "g.safetensors", label_dim=3)
    labelled = write_data(tmp_path / "labelled.zip", labels=True)
    assert measure(file, labelled, **CHEAP, num_fake=16)
    with pytest.raises(InputError, match="width 3"):
        measure(file, write_data(tmp_path / "bare.zip"), **CHEAP, num_fake=16)


def test_a_costly_metric_gets_fewer_pictures_and_says_so(run, data, monkeypatch):
    monkeypatch.setattr(swd, "MOST", 9, raising=False)
    (score, *_) = measure(run.path, data, **{**CHEAP, "metrics": ["swd"]}, num_fake=16)
    assert (score.num_real, score.num_fake) == (9, 9)


@pytest.mark.slow
def test_few_pictures_are_warned_about_in_words(run, data):
    said = []
    scores = measure(run.path, data, **CHEAP, num_fake=16, announce=said.append)
    assert any(line.startswith("kernel through vgg-random:") for line in said)
    assert all(score.warnings for score in scores if score.metric == "kernel")


@pytest.mark.slow
def test_the_frechet_distance_comes_at_fixed_counts_or_not_at_all(run, data, monkeypatch):
    said = []
    options = {**CHEAP, "metrics": ["frechet"]}
    assert measure(run.path, data, **options, num_fake=20, announce=said.append) == []
    assert said == [
        "frechet through vgg-random is left out: 20 images cannot fill a covariance of 64 x 64:"
        " use 100 or more"
    ]
    monkeypatch.setattr(frechet, "fixed_count", lambda real, fake, dims: min(real, fake) // 6 * 6)
    scores = measure(run.path, data, **options, num_fake=20, noise_baseline=True)
    counts = {score.subject: (score.num_real, score.num_fake) for score in scores}
    assert counts == {"generator": (18, 18), "noise": (18, 18), "real-halves": (12, 12)}
    (few,) = measure(run.path, data, **options, num_fake=8, floor=False)
    halves = measure(run.path, data, **options, num_fake=8)[-1]
    assert (few.num_fake, halves.num_fake) == (6, 6), "a baseline of no more than it stands beside"


@pytest.mark.slow
def test_the_kernel_distance_comes_first_with_its_interval(run, data):
    scores = measure(run.path, data, **CHEAP, num_fake=16)
    first = table(scores[::-1]).rows[0]
    assert first[:2] == ("kernel \N{DOWNWARDS ARROW}", "vgg-random")
    assert re.fullmatch(r"\S+\n\[\S+, \S+\]", first[2])


def _without_faces(names):
    """All metrics but the costliest ones."""
    return lambda package: tuple(name for name in names(package) if name not in ("faces", "swd"))


@pytest.mark.slow
@pytest.mark.usefixtures("empty_cache")
def test_what_is_not_here_is_left_out_in_a_line_each(run, data, monkeypatch):
    """With an empty cache: no network but vgg-random, no LPIPS; everything else goes on."""
    said = []
    monkeypatch.setattr(discover, "names", _without_faces(discover.names))
    scores = measure(run.path, data, fetch=False, num_fake=16, announce=said.append)
    assert scores[0].metric == "kernel"
    assert {score.network for score in scores if score.metric == "kernel"} == {"vgg-random"}
    assert sum("vgg-random alone" in line for line in said) == 1
    assert sum(line.startswith("left out the metrics ") and "lpips" in line for line in said) == 1
    assert all("\n" not in line for line in said)
    with pytest.raises(MienError, match="lpips-alexnet"):
        measure(run.path, data, metrics=["lpips"], fetch=False, num_fake=16)


def test_a_network_of_ones_own_is_looked_through(run, data, tmp_path):
    pytest.importorskip("onnx")
    from metrics.test_onnx_file import model, saved

    file = saved(tmp_path / "mine.onnx", model())
    options = {**CHEAP, "networks": [str(file)], "metrics": ["kernel"]}
    (score, *_) = measure(run.path, data, **options, num_fake=16)
    assert (score.network, score.resize) == ("mine", "bicubic antialiased to 16, range -1..1")
    with pytest.raises(InputError, match="two feature networks are called mine"):
        measure(run.path, data, **{**options, "networks": [str(file), str(file)]}, num_fake=16)
    # Another range is another network: nothing of the first may come out of the cache.
    options["networks"] = [f"{file}?range=0..255"]
    (other, *_) = measure(run.path, data, **options, num_fake=16)
    assert abs(other.value) > 10 * abs(score.value)


def test_metrics_go_by_the_names_of_papers_too(run, data):
    said = []
    scores = measure(
        run.path,
        data,
        networks=["vgg-random"],
        metrics=["FID", "KID", "recall"],
        num_fake=60,
        announce=said.append,
    )
    assert {score.module for score in scores} == {"kernel", "prdc"}, "Fréchet from 100 on"
    assert "FID: frechet here; a FID is that through Inception: --features inception" in said
    assert "recall: prdc here" in said


def test_no_metric_has_the_name_of_another():
    names = discover.names("mien.metrics")
    others = [also for name in names for also in getattr(discover.load("mien.metrics", name), "ALSO", ())]
    assert len({*names, *others}) == len(names) + len(others)
    assert all(also == also.lower() for also in others)


def test_what_does_not_fit_is_refused(run, data, tmp_path):
    with pytest.raises(InputError, match=r"32 pixels a side, but .* has 16"):
        measure(run.path, write_data(tmp_path / "small.zip", size=16), **CHEAP)
    with pytest.raises(InputError, match="8 pictures or more"):
        measure(run.path, data, **CHEAP, num_fake=3)
    with pytest.raises(InputError, match="no such run folder or generator"):
        measure(tmp_path / "nothing", data, **CHEAP)
    with pytest.raises(InputError, match=r"did you mean frechet\?\); choose from: .*frechet"):
        measure(run.path, data, networks=["vgg-random"], metrics=["frechte"])
    assert not list(run.path.glob("metric-*"))


@pytest.mark.slow
def test_the_table_names_metrics_networks_and_subjects(run, data):
    scores = measure(run.path, data, **CHEAP, num_fake=16, noise_baseline=True)
    console = Console(width=160, file=io.StringIO())
    console.print(rich_table(table(scores)))
    text = console.file.getvalue()
    for word in ("kernel \N{DOWNWARDS ARROW}", "coverage \N{UPWARDS ARROW}", " noise", "reals", "16:24"):
        assert word in text
    kernel = next(score for score in scores if (score.metric, score.subject) == ("kernel", "generator"))
    narrow = Console(width=80, file=io.StringIO())
    narrow.print(rich_table(table([score for score in scores if score.subject != "noise"])))
    # A terminal of 80 columns breaks neither an interval nor a heading.
    assert f"[{kernel.low:.3g}, {kernel.high:.3g}]" in narrow.file.getvalue()
    assert "generator" in narrow.file.getvalue()
    assert "no scores" in str(table([]).title)


def test_a_damaged_line_of_scores_is_counted(run):
    append_scores(run, [])
    run.metric("frechet").write_text("{}\n")
    assert read_scores(run) == ([], 1)


@pytest.mark.slow
def test_several_are_ranked_with_the_certainty_of_each_place(run, data, tmp_path):
    """The data's own pictures beat a generator that has learnt nothing, and their copy draws with them."""
    real = open_dataset(data).images(np.arange(24))
    np.savez(tmp_path / "copies.npz", real)
    np.save(tmp_path / "same.npy", real.transpose(0, 2, 3, 1))
    sources = [run.path, tmp_path / "copies.npz", tmp_path / "same.npy"]
    measured = measure_all(sources, data, **CHEAP)
    best, equal, last = ranking(measured)
    assert (best.label, equal.label, last.label) == ("copies", "same", run.path.name)
    assert best.places == equal.places == (1, 2)
    assert last.places == (3, 3)
    assert (equal.behind.low, equal.behind.high) == (0.0, 0.0)
    assert last.behind.low > 0
    assert last.behind.low < last.behind.value < last.behind.high
    rows = ranking_table([best, equal, last]).rows
    assert rows[0][:2] == ("1 (1 to 2)", "copies")
    assert rows[2][0] == "3"
    seen = {score.metric: score for score in measured[1].scores if score.subject == "generator"}
    assert seen["precision"].model_id.startswith("pictures-")
    assert (seen["precision"].seeds, seen["precision"].psi) == (None, None)


@pytest.mark.slow
def test_sets_of_other_numbers_are_cut_to_the_smallest_or_refused(run, data, tmp_path):
    np.save(tmp_path / "few.npy", np.zeros((10, 32, 32, 3), np.uint8))
    both = measure_all([run.path, tmp_path / "few.npy"], data, **CHEAP)
    assert {score.num_fake for one in both for score in one.scores if score.subject == "generator"} == {10}
    with pytest.raises(InputError, match="few holds 10 pictures: --count 20 is more"):
        measure_all([run.path, tmp_path / "few.npy"], data, **CHEAP, num_fake=20)
    np.save(tmp_path / "big.npy", np.zeros((10, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"big: pictures of 64 pixels a side, but .* has 32"):
        measure_all([run.path, tmp_path / "big.npy"], data, **CHEAP)


@pytest.mark.slow
def test_scores_of_other_provenance_are_not_ranked(run, data):
    one, other = (measure_all([run.path], data, **CHEAP, num_fake=count)[0] for count in (12, 20))
    with pytest.raises(InputError, match=r"cannot be compared: .*number of generated"):
        ranking([one, other])


@pytest.mark.slow
def test_saved_statistics_stand_for_the_pictures_and_hold_none(run, data, tmp_path, fails):
    file = tmp_path / "reals.npz"
    assert main(["evaluate", "--data", data, "--features", "vgg-random", "--save-reference", str(file)]) == 0
    with np.load(file) as arrays:
        assert {name: arrays[name].ndim for name in arrays.files} == {"mien": 0, "features.vgg-random": 2}
    whole = measure(run.path, data, **{**CHEAP, "metrics": ["kernel", "prdc"]})
    said = []
    by_statistics = measure(run.path, str(file), fetch=False, announce=said.append, floor=True)
    by_metric = {(s.metric, s.subject): s.value for s in by_statistics}
    for score in whole:
        assert by_metric[score.metric, score.subject] == pytest.approx(score.value, rel=1e-6), score.metric
    assert {s.dataset_hash for s in by_statistics} == {s.dataset_hash for s in whole}
    assert any(line.startswith("left out") and "swd" in line for line in said)
    assert "needs" in fails("evaluate", run.path, "--data", file, "--metric", "swd")
    assert "none of mesh" in fails("evaluate", run.path, "--data", file, "--features", "mesh")
    assert "give it as --data" in fails("evaluate", file, "--data", data)
    assert "recognise people" in fails(
        "evaluate", "--data", data, "--features", "identity", "--save-reference", tmp_path / "who.npz"
    )
    assert not (tmp_path / "who.npz").exists()
    with np.load(file) as arrays:
        np.savez(file, mien=arrays["mien"])
    assert "statistics is damaged" in fails("evaluate", run.path, "--data", file)


@pytest.mark.slow
def test_the_classifier_score_and_the_path_length_come_when_they_are_named(run, data, monkeypatch):
    from mien.evaluation import measure as module

    class Sure:
        name, hash, dims, resize = "sure", "0" * 64, 4, "none"

        def features(self, images):
            return np.eye(4, dtype=np.float32)[images[:, 0, 0, 0].long().numpy() % 4]

    monkeypatch.setattr(module, "open_classifier", lambda source, device: Sure())
    scores = measure(run.path, data, metrics=["classifier_score"], num_fake=16, fetch=False)
    values = {score.metric: score for score in scores if score.subject == "generator"}
    assert 1 < values["classifier_score_real"].value <= 4
    assert values["classifier_score_fake"].network == "sure"
    assert "classifier_score" not in {s.module for s in measure(run.path, data, **CHEAP, num_fake=16)}


# --- Classifiers of one's own, and what a worker of a cluster does


def softmax(rows):
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_an_onnx_classifier_gives_probabilities_whatever_it_puts_out(tmp_path):
    """Logits become probabilities; what adds to one stays as it is."""
    onnx = pytest.importorskip("onnx")
    from metrics.test_onnx_file import model, saved

    pictures = smooth_pictures(5, seed=0, size=16)
    means = (pictures.double() / 127.5 - 1).mean((2, 3)).numpy()
    logits = means @ (np.arange(12).reshape(3, 4) / 10)
    plain = open_classifier(str(saved(tmp_path / "plain.onnx", model())))
    assert (plain.name, plain.dims) == ("plain", 4)
    assert plain.hash == hashlib.sha256((tmp_path / "plain.onnx").read_bytes()).hexdigest()
    assert np.allclose(plain.features(pictures), softmax(logits), atol=1e-4)
    sure = model()
    sure.graph.node[-1].output[0] = "logits"
    sure.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["y"], axis=1))
    told = open_classifier(str(saved(tmp_path / "told.onnx", sure))).features(pictures)
    assert np.allclose(told, softmax(logits), atol=1e-4), "a softmax of a softmax is flatter"
    assert plain.features(pictures[:0]).shape == (0, 4)


def attribute_file(path, names, *, size=16):
    """An attribute model that has learnt nothing; its network."""
    spec, config = Spec(size, 3, len(names), names), attributes.Config(width=4)
    torch.manual_seed(0)
    network = attributes.build_product(config, spec).eval()
    torch.nn.init.normal_(network.head.weight, std=20)
    header = NetworkHeader(
        kind="attributes", family="attributes", config=config.model_dump(), spec=spec, nimg=0, tool="test"
    )
    save_generator(path, network.state_dict(), header)
    return network


def test_an_attribute_model_classifies_by_its_first_label_of_several_values(tmp_path):
    names = ("Smiling", "hair=black", "hair=blond", "hair=red", "hat=none", "hat=cap", "age:number")
    path = tmp_path / "hair.safetensors"
    network = attribute_file(path, names)
    classifier = open_classifier(str(path))
    assert (classifier.name, classifier.dims) == ("hair", 3)
    pictures = smooth_pictures(70, seed=0, size=16)
    rows = classifier.features(pictures)
    with torch.no_grad():
        logits = network(pictures.float() / 127.5 - 1)[:, 1:4].numpy()
    assert np.allclose(rows, softmax(logits), atol=1e-4)
    assert rows.std(0).min() > 0.01, "pictures differ"
    assert classifier.features(pictures[:0]).shape == (0, 3)
    with pytest.raises(InputError, match=r"takes 3 x 16 x 16, not \[3, 32, 32\]"):
        classifier.features(smooth_pictures(1, seed=0, size=32))
    with pytest.raises(InputError, match=r"takes 3 x 16 x 16, not \[1, 16, 16\]"):
        classifier.features(pictures[:, :1])


def test_what_is_no_classifier_is_bad_usage(run, data, tmp_path, fails):
    attribute_file(tmp_path / "yes.safetensors", ("Smiling", "age:number"))
    asked = ("evaluate", run.path, "--data", data, "--metric", "classifier_score", "--classifier")
    assert "reads no label that has several values" in fails(*asked, tmp_path / "yes.safetensors")
    assert "--classifier hat: expressions, an attribute model" in fails(*asked, "hat")


def test_a_worker_answers_as_the_networks_do_here_or_not_at_all(tmp_path):
    """Features and probabilities of a batch that went there as bytes; another file of that name is told."""
    attribute_file(tmp_path / "hair.safetensors", ("hair=black", "hair=blond"))
    pictures = smooth_pictures(5, seed=0, size=16)
    here = (open_network("vgg-random"), open_classifier(str(tmp_path / "hair.safetensors")))
    places = (("features", "vgg-random"), ("classifier", str(tmp_path / "hair.safetensors")))
    setup = [[*place, each.hash, "cpu"] for place, each in zip(places, here, strict=True)]
    answer = features_of_shard(setup, list(pictures.shape), pictures.numpy().tobytes())
    for rows, network in zip(answer, here, strict=True):
        assert np.array_equal(rows, network.features(pictures))
    setup[1][2] = "0" * 64
    with pytest.raises(MienError, match=r"hair\.safetensors: another network on a worker than here"):
        features_of_shard(setup, list(pictures.shape), pictures.numpy().tobytes())


# --- What is refused, left out, or fallen back on


def saved_statistics(path, data, **changes):
    """Statistics of `data`, some of what they say of themselves changed."""
    assert main(["evaluate", "--data", data, "--features", "vgg-random", "--save-reference", str(path)]) == 0
    with np.load(path) as arrays:
        about = json.loads(str(arrays["mien"]))
        rows = {name: arrays[name] for name in arrays.files if name != "mien"}
    np.savez(path, mien=json.dumps(about | changes), **rows)
    return about


def test_statistics_of_another_version_or_network_are_refused(run, data, tmp_path, fails):
    file = tmp_path / "reals.npz"
    about = saved_statistics(file, data, version=99)
    asked = ("evaluate", run.path, "--data", file, "--features", "vgg-random")
    assert "statistics of version 99; save them anew" in fails(*asked)
    known = about["networks"]["vgg-random"]
    saved_statistics(file, data, networks={"vgg-random": known | {"hash": "f" * 64}})
    error = fails(*asked)
    assert f"its vgg-random is another one (hash {'f' * 16}, here {known['hash'][:16]})" in error
    saved_statistics(file, data, networks={"vgg-random": known | {"resize": "nearest"}})
    assert "is another one (resize nearest, here" in fails(*asked)
    file.write_bytes(b"no zip")
    assert str(file) in fails(*asked)
    zipped = tmp_path / "reals.zip"
    assert f"--save-reference {zipped}: name a file that ends in .npz" in fails(
        *("evaluate", "--data", data, "--features", "vgg-random", "--save-reference", zipped)
    )
    assert not zipped.exists()


def test_a_generator_with_labels_is_drawn_by_its_own_against_statistics(data, tmp_path):
    """Statistics know no labels: those that its file keeps are taken."""
    file, model = tmp_path / "reals.npz", tmp_path / "labelled.safetensors"
    saved_statistics(file, data)
    own = ((1.0, 0.0), (0.25, 0.75))
    write_generator(model, label_dim=2, label_rows=own)
    fakes = open_fakes(model, torch.device("cpu"))
    drawn = [tuple(row) for row in fakes.labels(open_reals(str(file)), 40, 0).tolist()]
    assert set(drawn) == set(own)
    assert 8 < drawn.count(own[0]) < 32
    scores = measure(model, str(file), **CHEAP | {"metrics": ["kernel"]}, num_fake=12)
    assert [score.num_fake for score in scores if score.subject == "generator"] == [12]


def test_a_damaged_generator_is_passed_over_aloud(run, data):
    """The newest one is cut off: the one before is evaluated, and that is said."""
    newest = run.generator(4000)
    newest.write_bytes(run.generator(3000).read_bytes()[:-100])
    said = []
    options = {**CHEAP, "metrics": ["kernel"], "num_fake": 12}
    scores = measure(run.path, data, **options, announce=said.append)
    (note,) = [line for line in said if "falling back" in line]
    assert newest.name in note
    assert note.endswith(f"falling back to {run.generator(3000).name}")
    assert {score.nimg for score in scores if score.subject == "generator"} == {3000}


def test_pictures_have_no_path_and_metrics_that_cannot_be_had_are_named(data, tmp_path, monkeypatch):
    np.save(tmp_path / "pictures.npy", np.zeros((16, 32, 32, 3), np.uint8))
    said = []
    if artefacts.artefact_path("lpips-alexnet") is not None:
        options = {**CHEAP, "metrics": ["kernel", "path_length"]}
        scores = measure(tmp_path / "pictures.npy", data, **options, announce=said.append)
        assert "left out path_length: it needs a generator, and pictures holds pictures" in said
        assert {score.module for score in scores} == {"kernel"}

    def offline(name, *, announce):
        raise MienError(f"artefact {name} cannot be had")

    monkeypatch.setattr(artefacts, "obtain", offline)
    assert list(_modules(["kernel", "prdc"], True, said.append)) == ["kernel", "prdc"]
    said.clear()
    left = _modules([], True, said.append)
    assert "lpips" not in left
    assert "kernel" in left
    (line,) = said
    assert line.startswith("left out the metrics ")
    assert "lpips" in line.partition(": ")[0]
    assert line.endswith("cannot be had")
    with pytest.raises(MienError, match="lpips-alexnet cannot be had"):
        _modules(["lpips"], True, said.append)


def test_without_kernel_distances_nobody_is_ranked(run, data, tmp_path, capsys):
    np.save(tmp_path / "pictures.npy", np.zeros((16, 32, 32, 3), np.uint8))
    sources = [run.path, tmp_path / "pictures.npy"]
    assert ranking(measure_all(sources, data, **CHEAP | {"metrics": ["swd"]}, num_fake=12)) == []
    command = ["evaluate", *map(str, sources), "--data", data, "--count", "12", "--features", "vgg-random"]
    assert main([*command, "--metric", "swd"]) == 0
    without = capsys.readouterr().out
    assert main([*command, "--metric", "kernel"]) == 0
    title = ranking_table(ranking(measure_all(sources, data, **CHEAP, num_fake=12))).title
    assert title in capsys.readouterr().out
    assert title not in without


def test_the_psi_curve_is_of_one_generator_alone(run, data, fails):
    for more in ((run.path,), ("--metric", "kernel"), ("--noise-baseline",)):
        error = fails("evaluate", run.path, *more, "--data", data, "--psi-curve")
        assert "--psi-curve takes one generator, and neither --metric nor --noise-baseline" in error


@pytest.mark.slow
def test_the_psi_curve_scores_each_psi_and_a_run_keeps_it(run, data, tmp_path):
    curve = psi_curve(run.path, data, networks=["vgg-random"], num_fake=16, fetch=False)
    assert list(curve) == [0.3, 0.5, 0.7, 0.85, 1.0]
    assert {score.psi for score in curve[0.5]} == {0.5}
    kept, _ = read_scores(run)
    assert {(each.metric, each.psi) for each in kept} == {
        (each.metric, psi) for psi, scores in curve.items() for each in scores
    }
    (shown,) = curve_tables(curve)
    assert [row[0] for row in shown.rows] == ["0.3", "0.5", "0.7", "0.85", "1"]
    np.save(tmp_path / "pictures.npy", np.zeros((10, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="needs a generator"):
        psi_curve(tmp_path / "pictures.npy", data)


def test_a_run_is_compared_with_what_it_was_trained_on_unless_told(tmp_path):
    data, other = write_data(tmp_path / "data.zip", count=2), write_data(tmp_path / "other.zip", count=2)
    runs = []
    for number, source in enumerate((data, data, other)):
        run = RunFolder.create(tmp_path / "runs", f"{number}")
        run.write_config({"dataset": {"source": source}})
        runs.append(str(run.path))
    notes = []
    assert data_of([runs[0], f"{runs[1]}/generator-000003.safetensors"], None, notes.append) == data
    assert data_of(runs, "named.zip", notes.append) == "named.zip"
    assert [data in note for note in notes] == [True]
    for models, reason in (
        (runs, "different data"),
        ([None], "which pictures"),
        ([str(tmp_path)], "which pictures"),
    ):
        with pytest.raises(InputError, match=reason):
            data_of(models, None, notes.append)
    (tmp_path / "other.zip").unlink()
    with pytest.raises(InputError, match="not there any more"):
        data_of(runs[2:], None, notes.append)
