import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.core.errors import InputError
from mien.core.manifest import dump_record, finite, read_manifest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.fixed_dictionaries(
    {"file": st.none() | TEXTS, "source": TEXTS, "verdict": st.sampled_from(["kept", "dropped"])},
    optional={
        "box": st.lists(NUMBERS, min_size=4, max_size=4),
        "landmarks": st.dictionaries(TEXTS, st.lists(NUMBERS, min_size=2, max_size=2), max_size=3),
        "measurements": st.dictionaries(TEXTS, NUMBERS, max_size=3),
        "labels": st.dictionaries(TEXTS, TEXTS | NUMBERS | st.booleans(), max_size=3),
        "width": st.integers(0, 2**40),
    },
)


@given(st.lists(RECORDS, max_size=5))
def test_what_is_written_is_read_again(records):
    text = "".join(dump_record(record) + "\n" for record in records)
    assert read_manifest(text) == records
    assert len(text.split("\n")) == len(records) + 1


def test_a_manifest_is_read_from_a_path_too(tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"file":null,"reason":"empty"}\n\n{"file":"a.png"}\n')
    assert [record.get("file") for record in read_manifest(path)] == [None, "a.png"]


def test_the_order_of_keys_does_not_change_the_line():
    assert dump_record({"b": 1, "a": [1, 2]}) == dump_record({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'


def test_numpy_numbers_become_plain_ones():
    line = dump_record({"box": np.arange(2, dtype=np.float32), "width": np.int64(3), "ok": np.bool_(True)})
    assert json.loads(line) == {"box": [0.0, 1.0], "width": 3, "ok": True}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_what_json_lacks_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        dump_record({"measurements": {"blur": value}})
    assert finite(float(value)) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{oops", "not JSON"),
        ("[1]", "expected an object"),
        ('{"file": 3}', "'file'"),
        ('{"verdict": "maybe"}', "'maybe'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"file": "a.png"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2") as caught:
        read_manifest(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_manifest_is_named(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("absent", "binary"):
        with pytest.raises(InputError, match=name):
            read_manifest(tmp_path / name)


def test_a_manifest_is_continued_and_later_lines_win(tmp_path):
    from mien.core.manifest import append_records, continuation, merge_records, read_continuation

    dataset = tmp_path / "faces.zip"
    append_records(dataset, [{"file": "a.png", "verdict": "dropped", "measurements": {"yaw": 1.0}}])
    with open(continuation(dataset), "ab") as file:
        file.write(b'{"file": "b.png", "verd')  # killed here
    append_records(dataset, [{"file": "a.png", "verdict": "kept", "measurements": {"pitch": 2.0}}])
    lines = read_continuation(dataset)
    assert [line["verdict"] for line in lines] == ["dropped", "kept"]
    (merged,) = merge_records(lines)
    assert merged["verdict"] == "kept"
    assert merged["measurements"] == {"yaw": 1.0, "pitch": 2.0}
