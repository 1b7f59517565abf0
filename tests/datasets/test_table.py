"""Tables of labels: types, quoting, and what a wrong row costs."""

import json
from functools import partial

import numpy as np
import pytest

from contracts.dataset_contract import DatasetContract
from layouts import head, labelled, save
from mien.core.errors import InputError
from mien.datasets.opening import open_dataset, open_index, recognise
from mien.datasets.tables import read_rows, read_text


class TestTable(DatasetContract):
    def make(self, root):
        return f"table:{labelled(root)}?size=32"

    def make_other(self, root):
        labelled(root)
        text = (root / "labels.csv").read_text()
        (root / "labels.csv").write_text(text.replace(",21,", ",91,"))
        return f"table:{root}?size=32"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path):
    """Write a table beside three pictures; give its index."""

    def run(text, name="labels.csv", *, files=("a.png", "b.png", "c.png"), encoding="utf-8"):
        for number, file in enumerate(files):
            save(tmp_path / "t" / file, head(number))
        (tmp_path / "t" / name).write_bytes(text.encode(encoding))
        return open_index(f"table:{tmp_path / 't'}")

    return run


def labels(index):
    return {entry.file: dict(entry.labels) for entry in index.entries}


def problems(index):
    return {problem.where: problem.text for problem in index.problems}


def test_types_follow_from_all_values(write):
    index = write(
        "file,yes,whole,number,text,code\na.png,True,3,0.5,x,007\nb.png,no,-4,2,y,12\nc.png,YES,0,1e3,3,1\n"
    )
    assert labels(index) == {
        "a.png": {"yes": True, "whole": 3, "number": 0.5, "text": "x", "code": "007"},
        "b.png": {"yes": False, "whole": -4, "number": 2.0, "text": "y", "code": "12"},
        "c.png": {"yes": True, "whole": 0, "number": 1000.0, "text": "3", "code": "1"},
    }
    assert [type(labels(index)["b.png"][name]) for name in ("yes", "whole", "number")] == [bool, int, float]


def test_an_empty_cell_is_a_label_that_is_absent(write):
    index = write("file,age,hair\na.png,,\nb.png,30,None\nc.png,nan,dark\n")
    assert labels(index) == {"a.png": {}, "b.png": {"age": 30, "hair": "None"}, "c.png": {"hair": "dark"}}
    assert index.problems == ()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\ufefffile;age\r\na.png;1\r\nb.png;2\r\nc.png;3\r\n", "utf-8"),
        ("file\tage\na.png\t1\nb.png\t2\nc.png\t3", "utf-8"),
        ("Age , Image\n1, a.png\n2, b.png\n\n3, c.png\n", "utf-8"),
        ("file\tage\na.png\t1\nb.png\t2\nc.png\t3\n", "utf-16"),
    ],
)
def test_marks_semicolons_tabs_and_other_names_are_understood(write, text, encoding):
    index = write(text, encoding=encoding)
    assert [list(row.values()) for row in labels(index).values()] == [[1], [2], [3]]
    assert index.problems == ()


def test_quoted_cells_hold_delimiters_quotes_and_lines(write):
    index = write('file,said\na.png,"one, ""two"""\n"b.png","three\nfour"\nc.png,five\n')
    assert labels(index)["a.png"] == {"said": 'one, "two"'}
    assert labels(index)["b.png"] == {"said": "three\nfour"}
    assert index.problems == ()


def test_a_row_of_wrong_width_costs_only_itself(write):
    index = write("file,age\na.png,1,2\nb.png\nc.png,3\n")
    assert labels(index) == {"c.png": {"age": 3}}
    found = problems(index)
    assert "3 cells, the header has 2" in found["labels.csv:2"]
    assert "1 cells, the header has 2" in found["labels.csv:3"]


def test_a_stray_quotation_mark_costs_one_line(write):
    index = write('file,age\na.png,"1\nb.png,2\nc.png,3\n')
    assert labels(index) == {"b.png": {"age": 2}, "c.png": {"age": 3}}
    assert "labels.csv:2" in problems(index)


def test_missing_doubled_extra_and_hostile_files_are_named(write, tmp_path):
    save(tmp_path / "secret.png", head(5))
    index = write("file,age\na.png,1\ngone.png,2\na.png,3\n../secret.png,4\n/etc/passwd,5\n,6\nb.png,7\n")
    assert labels(index) == {"a.png": {"age": 1}, "b.png": {"age": 7}}
    found = problems(index)
    assert "gone.png is not there" in found["labels.csv:3"]
    assert "first at labels.csv:2" in found["labels.csv:4"]
    assert "leads out" in found["labels.csv:5"]
    assert "leads out" in found["labels.csv:6"]
    assert "names no file" in found["labels.csv:7"]
    assert "no whole row" in found["c.png"]


def test_person_split_role_and_licence_are_no_labels(write):
    index = write(
        "file,subject,split,role,licence,age\na.png,7,train,front,CC0,1\nb.png,8,Validation,side,CC0,2\n"
    )
    first, second = index.entries
    assert (first.person, first.split, first.role, dict(first.labels)) == ("7", "train", "front", {"age": 1})
    assert (second.person, second.split) == ("8", "val")
    assert index.licence == "CC0"
    assert index.counts["people"] == 2


def test_a_split_of_other_words_is_a_label(write):
    index = write("file,split\na.png,north\nb.png,south\n")
    assert labels(index)["a.png"] == {"split": "north"}


@pytest.mark.parametrize("column", ["set", "data set", "Subset", "phase", "Data-Split"])
def test_columns_of_other_names_are_a_split_by_what_they_say(write, column):
    index = write(f"{column},file,split,age\ntrain,a.png,north,1\nvalid,b.png,south,2\n")
    assert [entry.split for entry in index.entries] == ["train", "val"]
    assert labels(index)["a.png"] == {"split": "north", "age": 1}
    index = write(f"{column},file,split\ntest,a.png,train\ntest,b.png,val\n")
    assert [entry.split for entry in index.entries] == ["train", "val"], "split itself comes first"


def imagefolder(root):
    for side, numbers in (("train", (0, 1)), ("validation", (2,)), ("test", (3,))):
        lines = []
        for number in numbers:
            save(root / side / f"{number}.png", head(number))
            lines.append({"file_name": f"{number}.png", "age": number + 20, "smiling": number % 2 == 0})
        lines[0] |= {"objects": {"bbox": [[1, 2, 3, 4]]}, "hair": None}
        (root / side / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_imagefolder_takes_its_splits_from_its_folders(tmp_path):
    root = imagefolder(tmp_path / "hf")
    assert recognise(root) == "table"
    index = open_index(f"table:{root}")
    assert [(entry.file, entry.split) for entry in index.entries] == [
        ("test/3.png", "test"),
        ("train/0.png", "train"),
        ("train/1.png", "train"),
        ("validation/2.png", "val"),
    ]
    assert labels(index)["train/0.png"] == {"age": 20, "smiling": True}
    assert all("objects" in note for note in index.notes)
    assert len(open_dataset(f"table:{root}?split=train")) == 2


def test_lines_that_are_no_json_cost_only_themselves(write):
    text = '{"file_name": "a.png", "age": 1}\nnonsense\n[1]\n{"age": 2}\n{"file_name": "c.png", "age": NaN}\n'
    index = write(text, "metadata.jsonl")
    assert labels(index) == {"a.png": {"age": 1}, "c.png": {}}
    assert {"metadata.jsonl:2", "metadata.jsonl:3", "metadata.jsonl:4"} <= problems(index).keys()


def test_a_column_of_mixed_kinds_becomes_text_and_is_told(write):
    index = write('{"file": "a.png", "size": 3}\n{"file": "b.png", "size": "large"}\n', "metadata.jsonl")
    assert labels(index) == {"a.png": {"size": "3"}, "b.png": {"size": "large"}}
    assert any("size" in note for note in index.notes)


def test_several_tables_must_be_chosen_from(write, tmp_path):
    write("file,age\na.png,1\n", "one.csv")
    with pytest.raises(InputError, match=r"table=one\.csv"):
        write("file,age\na.png,3\nb.png,2\n", "two.csv")
    with pytest.raises(InputError, match=r"table=one\.csv"):
        write("file,size\nb.png,2\n", "two.csv")
    write("file,age\nb.png,2\n", "two.csv")
    assert labels(open_index(f"table:{tmp_path / 't'}?table=two.csv")) == {"b.png": {"age": 2}}
    with pytest.raises(InputError, match="no such table"):
        open_index(f"table:{tmp_path / 't'}?table=three.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,age\nx,1\n", r"labels\.csv:1: no column of files.*there are: name, age; name it with file="),
        ("file,age,age\na.png,1,2\n", "two columns"),
        ("", "no column of files"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(write, text, words):
    with pytest.raises(InputError, match=words):
        write(text)


@pytest.mark.parametrize(
    "column",
    [
        "image_id",
        "image_path",
        "id",
        "image",
        "Image_ID",
        "portrait_file_name",
        "img_path",
        "filename",
        "photo",
    ],
)
def test_usual_names_of_the_column_of_files(write, column):
    index = write(f"age,{column}\n1,a.png\n2,b.png\n3,c.png\n")
    assert labels(index) == {"a.png": {"age": 1}, "b.png": {"age": 2}, "c.png": {"age": 3}}


def test_a_better_name_wins_over_a_number(write):
    index = write("id,image_id,file_name\n1,7,a.png\n2,8,b.png\n3,9,c.png\n")
    assert labels(index)["b.png"] == {"id": 2, "image_id": 8}
    assert index.label_names == ()  # numbers of rows are not learnt unasked


def test_any_column_can_be_named(write, tmp_path):
    write("file,who,age\na.png,b,1\n")
    index = open_index(f"table:{tmp_path / 't'}?file=who")
    assert labels(index) == {"b.png": {"file": "a.png", "age": 1}}
    with pytest.raises(InputError, match=r"no column 'whom'; there are: file, who, age"):
        open_index(f"table:{tmp_path / 't'}?file=whom")


def test_names_without_suffix_in_another_case_or_place_are_found(write):
    files = ("a.JPG", "in/b.png", "J\u00f6rg.png", "007.png", "deep/x.png", "other/x.png")
    index = write("image_id,age\na,1\nB.PNG,2\nJo\u0308rg,3\n007,4\nx,5\na.jpeg,6\n", files=files)
    ages = {file: row["age"] for file, row in labels(index).items()}
    assert ages == {"a.JPG": 1, "in/b.png": 2, "J\u00f6rg.png": 3, "007.png": 4}
    found = problems(index)
    assert found["labels.csv:6"] == "x may be deep/x.png or other/x.png; name its folder, too"
    assert "listed again" in found["labels.csv:7"]
    assert any(note.startswith("4 rows") for note in index.notes)


def test_a_column_of_minus_one_and_one_is_yes_and_no(write):
    index = write("file,Smiling,level,sure\na.png,-1,-1,1\nb.png,1,0,1\nc.png,,1,1\n")
    assert labels(index) == {
        "a.png": {"Smiling": False, "level": -1, "sure": 1},
        "b.png": {"Smiling": True, "level": 0, "sure": 1},
        "c.png": {"level": 1, "sure": 1},
    }
    lines = ('{"file": "a.png", "x": -1}', '{"file": "b.png", "x": 1}')
    index = write("\n".join(lines), "metadata.jsonl")
    assert labels(index) == {"a.png": {"x": False}, "b.png": {"x": True}}


@pytest.mark.parametrize("base", ["", "data/"])
def test_folders_that_the_table_names_are_its_split(write, base):
    files = (f"{base}train/a.png", f"{base}train/b.png", f"{base}val/c.png")
    index = write(
        "".join(json.dumps({"file_name": file}) + "\n" for file in files), "metadata.jsonl", files=files
    )
    assert [entry.split for entry in index.entries] == ["train", "train", "val"]


def test_tables_below_data_are_read_with_their_splits(tmp_path):
    root = imagefolder(tmp_path / "hf" / "data").parent
    assert recognise(root) == "table"
    assert [entry.split for entry in open_index(f"table:{root}").entries] == ["test", "train", "train", "val"]


def test_celebas_numbers_of_a_partition_are_its_split(write):
    index = write("image_id,partition\na.png,0\nb.png,1\nc.png,2\n")
    assert [entry.split for entry in index.entries] == ["train", "val", "test"]


def test_a_table_itself_can_be_the_source(write, tmp_path):
    index = write("file,age\na.png,1\n", "ages.csv")
    assert labels(open_index(str(tmp_path / "t" / "ages.csv"))) == labels(index)
    assert open_dataset(f"table:{tmp_path / 't' / 'ages.csv'}?size=8").labels.tolist() == [[1]]


def test_text_that_is_not_utf8_is_read_as_windows_writes_it_and_named_with_its_line(write):
    index = write("file,name\na.png,Ann\nb.png,J\u00f6rg\n", encoding="latin-1")
    assert labels(index)["b.png"] == {"name": "J\u00f6rg"}
    assert "labels.csv:3: not UTF-8" in index.notes[0]


TABLE = "file,age\na.png,1\nb.png,2\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe" + TABLE.encode("utf-16"),
        b"\xef\xbb\xbf" + TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16-le"),
        b"\xfe\xff" + TABLE.encode("utf-16-be") + b"\0",
        b"sep=,\r\n" + TABLE.replace("\n", "\r").encode(),
        b"\n# by hand, in March\n" + TABLE.encode(),
        TABLE.replace("file", " Image Name ").encode(),
        TABLE.replace("a.png", "C:\\Users\\Ann\\t\\a.png").replace("b.png", "/data/t/b.png").encode(),
        TABLE.replace("a.png", "../t/a.png").replace("b.png", "x/../b.png").encode(),
        b'[{"file": "a.png", "age": 1},\n {"file": "b.png", "age": 2}]',
    ],
)
def test_tables_of_other_programs_say_the_same(write, tmp_path, data):
    assert labels(
        write(data.decode("latin-1"), "t.json" if data[:1] == b"[" else "t.csv", encoding="latin-1")
    ) == {
        "a.png": {"age": 1},
        "b.png": {"age": 2},
    }


def test_numbers_name_pictures_whose_names_are_numbers(write):
    files = ("0007.png", "0012.png", "012.png")
    index = write("image_id,age\n7.0,1\n12,2\n", files=files)
    assert labels(index) == {"0007.png": {"age": 1}}
    assert "12 is not there" in problems(index)["labels.csv:3"]  # two pictures have that number


def test_yes_and_no_in_letters_mixtures_and_decimal_commas(write):
    index = write("file;l;m;g;n\na.png;Y;1;f;0,5\nb.png;n;true;f;-1,25\nc.png;Y;;f;3\n")
    assert labels(index) == {
        "a.png": {"l": True, "m": True, "g": "f", "n": 0.5},
        "b.png": {"l": False, "m": True, "g": "f", "n": -1.25},
        "c.png": {"l": True, "g": "f", "n": 3.0},
    }


def test_a_table_without_a_header_and_a_broken_list_say_so(write):
    with pytest.raises(InputError, match="no header; write one above"):
        write("a.png,1\nb.png,2\n")
    index = write('[{"file": "a.png", "age": 1}, {"file": oops]', "t.json")
    assert labels(index) == {"a.png": {"age": 1}}
    assert "no JSON object" in problems(index)["t.json:2"]


def test_names_of_people_are_not_learnt_unasked(tmp_path):
    root = labelled(tmp_path / "t")
    text = (root / "labels.csv").read_text().splitlines()
    rows = [f"{row},{'name' if at == 0 else f'n{at}'}" for at, row in enumerate(text)]
    (root / "labels.csv").write_text("\n".join(rows))
    dataset = open_dataset(f"table:{root}")
    assert dataset.spec.class_names == ("age", "smiling", "hair=dark", "hair=fair")
    np.testing.assert_array_equal(dataset.labels[0], [20, 1, 0, 1])
    assert open_dataset(f"table:{root}?labels=name").spec.label_dim == 6


def test_a_name_of_several_pictures_is_said_to_be_that(write):
    index = write("file,age\na.png,1\nb.png,2\n", files=("x/a.png", "y/a.png", "x/b.png"))
    assert [entry.file for entry in index.entries] == ["x/b.png"]
    assert index.problems[0].text == "a.png may be x/a.png or y/a.png; name its folder, too"


@pytest.mark.parametrize("column", ["url", "image_url", "Photo URL"])
def test_pictures_named_by_their_addresses_are_found_by_the_last_part(write, column):
    text = f"{column},age\nhttps://e.org/p/a.png?w=3&x=a/b,1\nhttps://e.org/%62.png#x,2\n"
    assert [(e.file, e.labels) for e in write(text).entries] == [("a.png", {"age": 1}), ("b.png", {"age": 2})]
    beside = write(f"{column},image_id\nhttps://e.org/c.png,a\n", "labels.csv")
    assert [entry.file for entry in beside.entries] == ["a.png"]


def test_pictures_by_name_in_one_json_object(write, tmp_path):
    index = write(json.dumps({"a.png": 1, "b.png": 2}, indent=1), "labels.json")
    assert [(e.file, e.labels) for e in index.entries] == [("a.png", {"label": 1}), ("b.png", {"label": 2})]
    assert recognise(tmp_path / "t") == "table"
    index = write(json.dumps({"a.png": {"age": 3}, "b.png": {"age": 4}}), "labels.json")
    assert [entry.labels for entry in index.entries] == [{"age": 3}, {"age": 4}]


def test_one_json_object_alone_is_one_row(write):
    index = write(json.dumps({"file": "b.png", "age": 3, "known": True}), "labels.json")
    assert labels(index) == {"b.png": {"age": 3, "known": True}}


def test_lists_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "labels.csv").mkdir()
    for read in (read_text, partial(read_rows, where="labels.csv")):
        with pytest.raises(InputError, match=r"labels\.csv: cannot be read \(Is a directory\)"):
            read(tmp_path / "labels.csv")
        with pytest.raises(InputError, match=r"none\.csv: cannot be read \(No such file or directory\)"):
            read(tmp_path / "none.csv")
    with open(tmp_path / "large.txt", "wb") as file:
        file.truncate((512 << 20) + 1)  # a hole, which takes no place
    with pytest.raises(InputError, match=r"large\.txt: larger than 512 MiB; that is no list"):
        read_text(tmp_path / "large.txt")


def test_annotations_of_coco_give_each_picture_its_one_category(write):
    annotations = [(1, 5), (1, 5), (2, 5), (2, 6)]
    content = {
        "images": [{"id": n, "file_name": f"{letter}.png"} for n, letter in enumerate("abc", 1)],
        "annotations": [{"image_id": image, "category_id": category} for image, category in annotations],
        "categories": [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}],
    }
    index = write(json.dumps(content), "instances.json")
    assert [(e.file, e.labels) for e in index.entries] == [
        ("a.png", {"category": "cat"}),
        ("b.png", {}),
        ("c.png", {}),
    ]
    assert "1 pictures show several categories, and have no label for it" in index.notes
    content["annotations"][0]["category_id"] = 7
    with pytest.raises(InputError, match=r"annotations like COCO's, but not whole \(KeyError\(7\)\)"):
        write(json.dumps(content), "instances.json")


def test_a_table_for_each_split_is_read_as_one(write):
    write("file,age\ntrain/a.png,1\n", "train.csv", files=("train/a.png", "test/b.png"))
    index = write("file,age\ntest/b.png,2\n", "test.csv", files=())
    assert sorted((e.file, e.split) for e in index.entries) == [
        ("test/b.png", "test"),
        ("train/a.png", "train"),
    ]


def test_a_spreadsheet_is_named_with_what_to_do(write):
    with pytest.raises(InputError, match=r"no CSV, TSV or JSON table in it; save ages\.xlsx as CSV"):
        write("PK", "ages.xlsx")
