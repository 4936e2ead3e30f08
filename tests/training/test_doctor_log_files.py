# ruff: noqa: E501
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.doctor.console import row_of
from training.doctor.log_file import open_log
from training.doctor.rows import Row
from training.doctor.runs import BadLog

TABLE = [{"step": 0.0, "d_loss": 0.69, "g_loss": 1.5}, {"step": 10.0, "d_loss": 0.125, "g_loss": -2.0}]


def read(path: Path) -> tuple[list[Row], list[str]]:
    remarks: list[str] = []
    return list(open_log(path).read(remarks.append)), remarks


def as_csv(delimiter: str = ",", decimal: str = ".") -> str:
    lines = [delimiter.join(str(value).replace(".", decimal) for value in row.values()) for row in TABLE]
    return "\n".join([delimiter.join(TABLE[0]), *lines])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", ","), ("|", ".")]
)
def test_csv_is_read_in_whatever_way_it_was_written(
    tmp_path: Path, encoding: str, delimiter: str, decimal: str
):
    path = tmp_path / "log.csv"
    path.write_text(as_csv(delimiter, decimal), encoding=encoding)
    assert open_log(path).kind == "CSV"
    assert read(path) == (TABLE, [])


def test_csv_without_header_with_gaps_percents_and_a_second_header(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("0,0.5,90%\n1,,nan\n")
    assert str(read(path)[0]) == "[{'col1': 0.0, 'col2': 0.5, 'col3': 0.9}, {'col1': 1.0, 'col3': nan}]"
    path.write_text("# a run\n,loss\n0,1.5\n,loss\n0,2.5\n")
    assert read(path)[0] == [{"col1": 0.0, "loss": 1.5}, {"col1": 0.0, "loss": 2.5}]


def test_jsonl_is_flattened_and_a_cut_last_line_is_told(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    line = json.dumps(
        {"step": 1, "loss": {"D": 0.5, "note": "x", "ok": True}, "kid": None, "nan": float("nan")}
    )
    path.write_text(f"{line}\n{line[:20]}")
    rows, remarks = read(path)
    assert str(rows) == "[{'step': 1.0, 'loss/D': 0.5, 'nan': nan}]"
    assert "still writing" in remarks[0]


@pytest.mark.parametrize(
    "value",
    [
        {"d_loss": [1, 2, 3], "lr": [0.1], "epochs": 3},
        {"history": {"d_loss": [1, 2, 3], "lr": [0.1]}},
        {"d_loss": {"0": 1, "1": 2, "2": 3}, "lr": {"0": 0.1, "1": None}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_history_is_read_by_position(tmp_path: Path, value: object, indent: int | None):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(value, indent=indent))
    rows = [{name.removeprefix("history/"): value for name, value in row.items()} for row in read(path)[0]]
    assert rows == [
        {"position": 0, "d_loss": 1, "lr": 0.1},
        {"position": 1, "d_loss": 2},
        {"position": 2, "d_loss": 3},
    ]


def test_an_integer_beyond_all_floats_is_no_number(tmp_path: Path):
    huge = "9" * 400
    (tmp_path / "log.jsonl").write_text(f'{{"step": {huge}, "d": 1}}\n{{"step": 2, "d": 1}}\n')
    assert read(tmp_path / "log.jsonl")[0] == [{"d": 1}, {"step": 2, "d": 1}]
    (tmp_path / "history.json").write_text(f'{{"d": [{huge}, 1]}}')
    assert read(tmp_path / "history.json")[0] == [{"position": 1, "d": 1}]


def test_a_list_of_objects_is_read(tmp_path: Path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps([{"epoch": 0, "d": 1}, {"epoch": 1, "d": 2}], indent=1))
    assert read(path)[0] == [{"epoch": 0, "d": 1}, {"epoch": 1, "d": 2}]


LISTS = "[[0, 0.5, 1.5], [1, 0.25, NaN], [2, 0.125, 3.5], [3, 0.1, 4.0]]"
BROKEN_LINES = "\n ".join(LISTS.replace("],", "],|").split("|"))


@pytest.mark.parametrize(
    "text",
    [
        LISTS,
        BROKEN_LINES,
        json.dumps(json.loads(LISTS), indent=1),
        LISTS.replace("NaN", "nan"),  # as Python prints it
        LISTS[1:-1].replace("], ", "]\n").replace("NaN", "nan"),  # a list a line
        "[[0, 1, 2, 3], [0.5, 0.25, 0.125, 0.1], [1.5, NaN, 3.5, 4.0]]",  # each a column
    ],
)
def test_lists_without_names_are_read_by_their_places(tmp_path: Path, text: str):
    path = tmp_path / "log.json"
    path.write_text(text)
    rows, remarks = read(path)
    assert remarks == []
    assert [[row[f"col{place}"] for place in (1, 2, 3)] for row in (rows[0], rows[2], rows[3])] == [
        [0, 0.5, 1.5],
        [2, 0.125, 3.5],
        [3, 0.1, 4.0],
    ]
    assert str(rows[1]) == "{'col1': 1.0, 'col2': 0.25, 'col3': nan}"


def test_one_list_is_one_column_and_a_long_line_a_whole_list(tmp_path: Path):
    (tmp_path / "loss.json").write_text("[0.5, 0.25]")
    assert read(tmp_path / "loss.json")[0] == [{"col1": 0.5}, {"col1": 0.25}]
    (tmp_path / "losses.json").write_text(json.dumps([[i / 7, i / 3] for i in range(9_000)]))
    assert len(read(tmp_path / "losses.json")[0]) == 9_000


def test_printed_lines_that_begin_with_a_bracket_are_no_json(tmp_path: Path):
    (tmp_path / "log.txt").write_text("[1, 2000] d_loss: 0.5\n[1, 4000] d_loss: 0.4\n")
    assert [row["d_loss"] for row in read(tmp_path / "log.txt")[0]] == [0.5, 0.4]
    (tmp_path / "log.txt").write_text("[64, 64, 3]\nstep 1 d_loss: 0.5\nstep 2 d_loss: 0.4\n")
    assert [row["d_loss"] for row in read(tmp_path / "log.txt")[0] if "d_loss" in row] == [0.5, 0.4]


LINES = {
    "[Epoch 3, Step 20] d_loss = 0.0001 | gan_loss = 10.52": {
        "Epoch": 3, "Step": 20, "d_loss": 0.0001, "gan_loss": 10.52,
    },
    "Disciminator Accuracy on real images: 98%, on fake images: 100%": {
        "Disciminator Accuracy on real images": 0.98, "Accuracy on fake images": 1.0,
    },
    ">Accuracy real: 98%, fake: 95%": {"Accuracy real": 0.98, "Accuracy fake": 0.95},
    "17 [D loss: 0.123, acc.: 90.00%] [G loss: 3.2e-1]": {"col1": 17, "D loss": 0.123, "acc.": 0.9, "G loss": 0.32},
    ">1, 5/468, d1=0.5, d2=.25 g=1": {"col1": 1, "col2": 5, "col2 of": 468, "d1": 0.5, "d2": 0.25, "g": 1},
    "[0/25][50/1583]\tLoss_D: 0.5\tLoss_G: 3\tD(x): 0.9\tD(G(z)): 0.1 / 0.2": {
        "col1": 0, "col1 of": 25, "col2": 50, "col2 of": 1583, "Loss_D": 0.5, "Loss_G": 3, "D(x)": 0.9, "D(G(z))": 0.1,
    },
    "Epoch [1/200], Step [200/600], d_loss: 0.5, g_loss: nan": {
        "Epoch": 1, "Epoch of": 200, "Step": 200, "Step of": 600, "d_loss": 0.5, "g_loss": float("nan"),
    },
    "Epoch 3:  45%|████▌     | 211/468 [00:12<00:14, 17.3it/s, d_loss=0.123, g_loss=3.21]": {
        "Epoch": 3, "col1": 211, "col1 of": 468, "d_loss": 0.123, "g_loss": 3.21,
    },
    "\x1b[1m468/468\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m12s\x1b[0m 25ms/step - d_loss: 0.12 - g_loss: 3.21": {
        "col1": 468, "col1 of": 468, "d_loss": 0.12, "g_loss": 3.21,
    },
    "468/468 - 12s - 25ms/step - d_loss: 0.12": {"col1": 468, "col1 of": 468, "d_loss": 0.12},
    "2022-03-12 22:05:23,123 INFO epoch 3 d_loss=1,234.5 g_loss 4.5": {
        "INFO epoch": 3, "d_loss": 1234.5, "g_loss": 4.5,
    },
    "Saved generator_model_0004.h5 in 3.5s": {},
    "": {},
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_printed_lines_are_read_as_people_print_them(line: str):
    assert str(row_of(line)) == str({name: float(value) for name, value in LINES[line].items()})


@given(st.floats(allow_nan=False), st.floats(-1e6, 1e6))
def test_any_number_that_python_prints_is_read_back(d_loss: float, g_loss: float):
    assert row_of(f"step 1 | d_loss = {d_loss} | g_loss: {g_loss}") == {
        "step": 1,
        "d_loss": d_loss,
        "g_loss": g_loss,
    }


@given(st.text())
def test_no_line_breaks_the_reader(line: str):
    assert all(isinstance(value, float) for value in row_of(line).values())


def test_a_bar_that_is_drawn_again_on_one_line_is_read(tmp_path: Path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"1/9 - d: 0.5\r2/9 - d: 0.4" + b"\b" * 12 + b"3/9 - d: 0.3\n")
    assert [row["d"] for row in read(path)[0]] == [0.5, 0.4, 0.3]


def bad(folder: Path) -> dict[str, Path]:
    contents = {
        "empty": b"",
        "blank": b"\n \n",
        "rubbish": bytes(range(256)) * 20,
        "cut.json": b'{"d_loss": [0.1, 0.2',
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    return {name: folder / name for name in (*contents, "folder", "missing")}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("empty", "is empty"),
        ("blank", "is empty"),
        ("rubbish", "neither text nor"),
        ("cut.json", "ends too early"),
        ("folder", "neither the folder of a run"),
        ("missing", "does not exist"),
    ],
)
def test_what_is_no_log_gets_a_clear_answer(tmp_path: Path, name: str, told: str):
    with pytest.raises(BadLog) as caught:
        open_log(bad(tmp_path)[name])
    assert told in str(caught.value)


def test_a_device_or_pipe_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadLog, match="is not a file but a pipe"):
        open_log(tmp_path / "pipe")


def test_a_file_without_line_ends_is_broken_into_pieces(tmp_path: Path):
    (tmp_path / "log").write_text("x" * 1_000_000)
    assert read(tmp_path / "log") == ([], [])
