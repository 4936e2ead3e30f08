"""The doctor for code on the posted script, and on other ways in which people write GANs."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.doctor import code
from training.doctor.code import examine
from training.doctor.finding import Severity
from training.doctor.scripts.rules import RULES
from training.doctor.scripts.source import BadScript, read

SCRIPTS = Path(__file__).parent / "scripts"
# Everything that is to be found in each script, worst first, and nothing else.
FOUND = {
    "posted.py": "C1 C1 C3 C14 C4 C10 C11 C13 C2 C6 C9 C16 C17 C22",
    "posted_whole.py": "C1 C1 C3 C14 C4 C6 C10 C11 C13 C16 C17 C22",
    "subclassed_train_step.py": "C9 C4 C7 C8 C10 C15",
    "tape_loop.py": "C10 C11 C13",
    "wgan_gp.py": "",
    "wgan_gp_flawed.py": "C20 C7 C18 C19",
    "wgan_clip.py": "C3 C6",
    "subclassed_networks.py": "C10",
    "conditional.py": "C21 C3 C4 C10 C12",
    "one_class.py": "C3 C21 C4 C6 C10 C15 C16 C22",
    "notebook.ipynb": "C5 C9 C10 C11 C15 C16 C17",
    "healthy_r1.py": "",
    "healthy_relativistic.py": "",
    "torch_port.py": "C9 C23 C5 C10 C15",
    "conditional_embedding.py": "C3 C4 C6 C10 C11 C12 C15 C16",
    "hinge_loop.py": "C21 C24 C25 C7 C8 C10",
    "lsgan.ipynb": "C1 C3 C9 C6 C10 C13 C14 C17",
    "class_sequential.py": "C3 C21 C26 C4 C6 C10 C15 C16 C22",
}


def write(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def ids(path: Path) -> list[str]:
    return [finding.id for finding in examine(path)]


def test_every_script_beside_this_test_is_examined():
    assert FOUND.keys() == {path.name for path in SCRIPTS.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", FOUND)
def test_a_script_s_findings_come_and_no_others(name):
    assert ids(SCRIPTS / name) == FOUND[name].split()


def test_every_rule_is_in_the_docs():
    page = (Path(code.__file__).parent / "CODE.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (C\d+) \|", page, re.MULTILINE)
    assert listed == [(rule.__doc__ or "").split(":")[0] for rule in RULES]


def test_a_finding_says_where_it_stands():
    where = {finding.id: finding.where for finding in examine(SCRIPTS / "posted.py")}
    assert where["C3"] == "line 76"
    assert where["C11"] == "lines 21, 25 and 29"


def test_a_notebook_s_finding_names_the_cell_and_its_line():
    where = {finding.id: finding.where for finding in examine(SCRIPTS / "notebook.ipynb")}
    assert where["C9"] == "cell 3, line 3"


IPYTHON = """\

  %matplotlib inline
  !!pip install keras
  files, = !ls *.png
  ! python train.py \\
      --epochs 3 \\
      --out runs
  old = !ls \\
  runs
  total = 1 + \\
      2
  for kind in [1]:
      seconds = %time 3
      os.path?
  ??os
  text = \'\'\'
  width = %s and what?
  \'\'\'
"""


def test_what_only_ipython_knows_takes_no_line_from_a_notebook(tmp_path):
    cells = [{"cell_type": "code", "source": cell} for cell in (IPYTHON, "\n %%bash\n ls | wc")]
    source = read(write(tmp_path, json.dumps({"cells": cells}), "a.ipynb"))
    assert source.text.splitlines() == [
        "# %% cell 1",
        "",
        "pass  # %matplotlib inline",
        "pass  # !!pip install keras",
        "files, = None  # !ls *.png",
        "pass  # ! python train.py \\",
        "#     --epochs 3 \\",
        "#     --out runs",
        "old = None  # !ls \\",
        "# runs",
        "total = 1 + \\",
        "    2",
        "for kind in [1]:",
        "    seconds = None  # %time 3",
        "    pass  # os.path?",
        "pass  # ??os",
        "text = '''",
        "width = %s and what?",
        "'''",
        "# %% cell 2",
        "# ",
        "#  %%bash",
        "#  ls | wc",
    ]


def test_slips_are_told_with_what_was_meant():
    remedies = [finding.remedy for finding in examine(SCRIPTS / "posted.py") if finding.id == "C1"]
    assert [remedy.split()[0] for remedy in remedies] == ["report_progress", "i"]


def test_the_frozen_discriminator_is_told_for_keras_2_and_3():
    (finding,) = [finding for finding in examine(SCRIPTS / "posted.py") if finding.id == "C3"]
    assert "Keras 2 kept" in finding.why
    assert "Keras 3 looks" in finding.why


def test_the_posted_networks_are_counted_as_keras_counts_them():
    (finding,) = [finding for finding in examine(SCRIPTS / "posted.py") if finding.id == "C17"]
    assert "generator 994,144 parameters" in finding.evidence
    assert "discriminator 263,073" in finding.evidence


def test_keras_2_is_not_told_of_keras_3(tmp_path):
    text = (SCRIPTS / "posted_whole.py").read_text(encoding="utf-8")
    assert "C3" not in ids(write(tmp_path, 'import os\nos.environ["TF_USE_LEGACY_KERAS"] = "1"\n' + text))


@pytest.mark.parametrize(
    ("old", "new", "gone", "come"),
    [
        ("/ 127.5", "/ 255.0", "", "C9"),
        ("(images.astype('float32') - 127.5) / 127.5", "images / 255.0", "", "C9"),
        ("activation='tanh'", "activation='sigmoid'", "", "C9"),
        ("activation='sigmoid'))", "))", "C4", "C5"),
        (
            "loss='binary_crossentropy'",
            "loss=tf.keras.losses.BinaryCrossentropy(from_logits=True)",
            "C4",
            "C5",
        ),
        ("np.ones((n_samples, 1))", "0.9 * np.ones((n_samples, 1))", "", "C12"),
        (
            "(5, 5), strides=(2, 2), padding='same', use_bias",
            "(4, 4), strides=(2, 2), padding='same', use_bias",
            "C11",
            "",
        ),
        (
            "    model.add(Dropout(0.3))",
            "    model.add(BatchNormalization())\n    model.add(Dropout(0.3))",
            "",
            "C8",
        ),
        ("areport_progress", "report_progress", "C1", ""),
        ("    # Report the progress on the full epoch\n    report", "        report", "C14", ""),
        ("step % 10 == 0", "epoch % 10 == 0", "", ""),
        ("generator.predict(noise, verbose=0)", "generator(noise, training=True)", "C6", ""),
        ("\nimport numpy as np", "", "", "C1"),
    ],
)
def test_one_changed_line_changes_one_finding(tmp_path, old, new, gone, come):
    text = (SCRIPTS / "posted_whole.py").read_text(encoding="utf-8")
    assert old in text
    before = FOUND["posted_whole.py"].split()
    after = ids(write(tmp_path, text.replace(old, new)))
    if gone:
        before.remove(gone)
    assert sorted(before + come.split()) == sorted(after)


def test_a_condition_that_is_never_true_is_found(tmp_path):
    text = (
        (SCRIPTS / "tape_loop.py")
        .read_text(encoding="utf-8")
        .replace("if (epoch + 1) % 15 == 0", "if epoch == epochs")
    )
    assert "C14" in ids(write(tmp_path, text))


def test_a_report_behind_an_endless_loop_is_found(tmp_path):
    text = (SCRIPTS / "tape_loop.py").read_text(encoding="utf-8")
    text = text.replace("for epoch in range(epochs):", "epoch = 0\n    while True:\n        epoch += 1")
    assert "C14" in ids(write(tmp_path, text))


def test_a_star_from_keras_hides_no_slip_and_makes_none(tmp_path):
    posted = (SCRIPTS / "posted.py").read_text()
    star = "from tensorflow.keras.layers import *\nfrom tensorflow.keras.models import *\n"
    slips = [finding.what for finding in examine(write(tmp_path, star + posted)) if finding.id == "C1"]
    assert slips == ["`areport_progress` is defined nowhere.", "`I` is defined nowhere."]
    used = "\n\ndef load_models(average):\n    return load_model(average), Average, add\n"
    found = examine(write(tmp_path, star + posted + used))
    assert [finding.what for finding in found if finding.id == "C1"] == slips
    elsewhere = "from cards import *\n"  # nobody knows what that brings
    assert "C1" not in ids(write(tmp_path, elsewhere + posted))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.py", "def f(:\n", "line 1"),
        ("a.py", "print 'python 2'\n", "line 1"),
        ("a.py", "x = 1\0", "null bytes"),
        ("a.py", "import os\nprint(os.name)\n", "not a Keras GAN"),
        ("a.py", "", "not a Keras GAN"),
        ("a.py", "import torch.nn as nn\nnet = nn.Linear(1, 1)\n", "for PyTorch.*what a training prints"),
        ("a.ipynb", "{}", "not a notebook"),
        ("a.ipynb", "[1]", "not a notebook"),
        ("a.ipynb", "not json", "not a notebook"),
        ("a.ipynb", '{"cells": [{"cell_type": "code", "source": ["x = 1\\n", "y ="]}]}', "cell 1, line 2"),
    ],
)
def test_what_cannot_be_examined_is_told(tmp_path, name, text, says):
    with pytest.raises(BadScript, match=says):
        examine(write(tmp_path, text, name))


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "a.py").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(BadScript):
        examine(tmp_path / "a.py")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BadScript, match="cannot be read"):
        examine(tmp_path / "a.py")


def test_a_deep_expression_is_no_traceback(tmp_path):
    with pytest.raises(BadScript):
        examine(write(tmp_path, "x = " + "(" * 5000 + ")" * 5000))


@given(st.data())
def test_a_script_cut_short_anywhere_is_examined_or_refused(tmp_path_factory, data):
    text = (SCRIPTS / data.draw(st.sampled_from(sorted(FOUND)))).read_text(encoding="utf-8")
    lines = text.splitlines()
    first = data.draw(st.integers(0, len(lines)))
    kept = lines[:first] + lines[data.draw(st.integers(first, len(lines))) :]
    path = write(tmp_path_factory.mktemp("cut"), "\n".join(kept))
    try:
        findings = examine(path)
    except BadScript:
        return
    assert findings == sorted(findings, key=lambda finding: -finding.severity)
    assert all(isinstance(finding.severity, Severity) for finding in findings)
