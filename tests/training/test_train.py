import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training import small_disk
from tests.training.ends import equal
from training import dataset, train
from training.checkpoints import BadCheckpoint, Progress, out_of_reach
from training.config import BadConfig
from training.dataset import BadDataset, Dataset
from training.feed import Feed
from training.loop import STOPS, Window, stopping
from training.models import Networks, draw
from training.prepare import prepare
from training.presets import configure
from training.run import BadRun, Run, Source, grid
from training.step import METRICS, Step, adam


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Forty cards of different colours below a white bar."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cards")
    for number in range(40):
        colour = tuple(np.random.default_rng(number).integers(0, 256, 3).tolist())
        card = Image.new("RGB", (40, 56), colour)
        card.paste("white", (0, 0, 40, 8))
        card.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def data(cards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare(cards, folder, 56, 40)
    return folder


OPTIONS = {"batch": 8, "augment": 0.5, "checkpoint_every": 8}


@pytest.fixture(scope="module")
def two_steps(data, tmp_path_factory):
    return train.start(data, tmp_path_factory.mktemp("two") / "run", "smoke", images=16, **OPTIONS).folder


@pytest.fixture
def run(two_steps, tmp_path):
    """A run of two steps with a checkpoint of each, to be spoilt."""
    return Run.open(shutil.copytree(two_steps, tmp_path / "run"))


LABELS = np.zeros((1, 8), np.int32)


def steps(run: Run) -> list[dict]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def told(lines: list[dict]) -> list[dict]:
    """What the lines of a log tell, without the time that it took."""
    return [{name: line[name] for name in ("step", *METRICS)} for line in lines]


def test_a_resumed_run_is_bit_for_bit_the_unbroken_one(data, run, tmp_path):
    unbroken = train.start(data, tmp_path / "unbroken", "smoke", images=32, **OPTIONS)
    resumed = train.resume(data, run.folder, images=32)
    assert equal(unbroken, resumed)
    assert told(steps(resumed)) == told(steps(unbroken))


def test_kinds_of_cards_are_learnt_from_folders_and_go_on_after_a_break(cards, tmp_path):
    for number, path in enumerate(sorted(cards.glob("*.png"))):
        kind = tmp_path / "cards" / ("even" if number % 2 == 0 else "odd")
        kind.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kind)
    prepare(tmp_path / "cards", tmp_path / "kinds", 56, 40)
    options = {"batch": 8, "labels": "folders", "images": 32, "checkpoint_every": 16}
    unbroken = train.start(tmp_path / "kinds", tmp_path / "unbroken", "smoke", **options)
    broken = shutil.copytree(unbroken.folder, tmp_path / "broken")
    shutil.rmtree(broken / "checkpoints" / "4")  # as if it had been killed before
    resumed = train.resume(tmp_path / "kinds", broken)
    assert resumed.config.classes == ("even", "odd")
    assert equal(unbroken, resumed)


def test_the_same_seed_repeats_a_run_and_another_does_not(data, run, tmp_path):
    again, other = (
        train.start(data, tmp_path / name, "smoke", images=16, seed=seed, **OPTIONS)
        for name, seed in (("again", run.config.seed), ("other", run.config.seed + 1))
    )
    assert equal(run, again)
    assert not equal(run, other)


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic", "hinge", "as posted"])
def test_a_step_moves_both_networks_and_the_average(loss):
    if loss == "as posted":
        config = replace(configure("seed", 64, 64), batch=8)
    else:
        config = configure("smoke", 56, 40, loss=loss, r1=1.0, r2=1.0, augment=0.5)
    networks = Networks.build(config)
    step = Step(config, networks)
    before = {name: network.get_weights() for name, network in networks.parts().items()}
    cards = tf.zeros((8, config.height, config.width, 3), tf.uint8)
    metrics = step(cards[None], LABELS, 0, 0.5)
    for name, network in networks.parts().items():
        moved = [
            not np.array_equal(weight, old)
            for weight, old in zip(network.get_weights(), before[name], strict=True)
        ]
        assert any(moved), name
    assert all(np.isfinite(value) for value in metrics.values())


def test_each_optimizer_moves_its_own_network_only():
    config = configure("smoke", 56, 40, learning_rate=0.0, augment=0.0)
    networks = Networks.build(config)
    step = Step(config, networks)
    step.optimizers["discriminator"] = adam(
        replace(config, learning_rate=1e-3), networks.discriminator.trainable_variables
    )
    before = networks.generator.trainable_variables[0].numpy(), networks.discriminator.get_weights()
    step(tf.zeros((1, 8, 56, 40, 3), tf.uint8), LABELS, 0)
    np.testing.assert_array_equal(before[0], networks.generator.trainable_variables[0])
    after = networks.discriminator.get_weights()
    assert any(not np.array_equal(*pair) for pair in zip(before[1], after, strict=True))


def test_one_card_is_learnt_by_heart(tmp_path):
    card = np.zeros((56, 40, 3), np.uint8)
    card[:28, :, 0] = 255  # red above, blue below
    card[28:, :, 2] = 255
    config = configure("smoke", 56, 40, learning_rate=2e-3, augment=0.0)
    networks = Networks.build(config)
    step = Step(config, networks)
    batches = np.tile(card, (50, 8, 1, 1, 1))
    for index in range(0, 300, 50):
        step(batches, np.zeros((50, 8), np.int32), index)
    drawn = draw(networks.average, tf.random.stateless_normal((8, 16), [1, 1]), tf.zeros(8, tf.int32))
    assert np.abs(drawn.astype(int) - card).mean() < 25


def test_a_rehearsal_says_what_a_run_takes_and_hours_become_images(data, tmp_path):
    said = train.rehearse(data, tmp_path / "run", "smoke", hours=0.01)
    (images,) = re.findall(r"([\d,]+) images,", said)
    (speed,) = re.findall(r"([\d.]+) images/s", said)
    seconds = int(images.replace(",", "")) / float(speed)
    assert seconds == pytest.approx(36, rel=0.1)  # images/s is rounded


def test_hours_and_images_are_not_both_taken(data, tmp_path):
    with pytest.raises(BadConfig, match="either"):
        train.rehearse(data, tmp_path / "run", "smoke", hours=1.0, images=800)


def test_a_run_leaves_metrics_samples_and_checkpoints(data, tmp_path):
    run = train.start(data, tmp_path / "run", "smoke", images=64, sample_every=32, checkpoint_every=32)
    assert [path.name for path in sorted(run.samples.iterdir())] == ["000000032.png", "000000064.png"]
    last = steps(run)[-1]
    assert last["images"] == 64
    assert {"d_loss", "g_loss", "penalty", "relativistic_accuracy", "images_per_second"} <= last.keys()
    assert run.checkpoints.steps() == [8, 4]


def test_metrics_of_a_resumed_run_have_no_step_twice(data, run):
    run.log({"step": 999, "images": 7992})  # written after the last checkpoint by a run that was killed
    train.resume(data, run.folder, images=192)
    logged = [line["step"] for line in steps(run)]
    assert logged == sorted(set(logged))
    assert logged[-1] == 24


def test_a_line_of_metrics_that_was_cut_short_does_not_stop_a_resumed_run(data, run):
    with run.metrics.open("a") as file:
        file.write('{"step": 9, "ima')
    train.resume(data, run.folder, images=24)
    assert [line["step"] for line in steps(run)] == [1, 2, 3]


def damage(path):
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize("name", ["weights.index", "weights.data-00000-of-00001", "progress.json"])
@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run, capsys, name, harm):
    harm(run.checkpoints.folder / "2" / name)
    assert run.restore(Networks.build(run.config)) == 8
    assert "2 is damaged" in capsys.readouterr().out


def test_a_disk_that_takes_no_checkpoint_ends_the_run_with_words_and_keeps_those_before(data, run):
    ran = small_disk.resume(data, run.folder, images=32, most_bytes=20_000)
    assert ran.returncode == 1
    assert "after step 3 could not be written" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert {path.name for path in run.checkpoints.folder.iterdir()} == {"1", "2"}
    assert run.restore(Networks.build(run.config)) == 16


def test_a_folder_that_holds_a_run_is_refused_before_any_work(data, run, capsys):
    with pytest.raises(BadRun, match="holds a run already"):
        train.start(data, run.folder, "smoke")
    assert "GFLOP" not in capsys.readouterr().out  # which is told once networks were built


def test_a_run_with_no_whole_checkpoint_is_not_begun_anew(data, run):
    for step in ("1", "2"):
        damage(run.checkpoints.folder / step / "weights.data-00000-of-00001")
    with pytest.raises(BadCheckpoint, match="start a new run"):
        train.resume(data, run.folder, images=24)
    assert [line["step"] for line in steps(run)] == [1, 2]


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"unknown": 1}'])
@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_a_damaged_file_of_a_run_is_named(data, tmp_path, name, text):
    config = configure("smoke", 56, 40)
    run = Run.create(tmp_path / "run", config, Source(str(data), "fingerprint"))
    (tmp_path / "run" / name).write_text(text)
    with pytest.raises(BadRun, match=f"{name} is damaged"):
        getattr(run, name.removesuffix(".json"))


def test_a_start_that_is_refused_leaves_no_run_behind(data, tmp_path):
    with pytest.raises(BadDataset, match="Lower --batch"):
        train.start(data, tmp_path / "run", "smoke", batch=64, images=64)
    assert not (tmp_path / "run").exists()


def test_a_folder_smaller_than_the_presets_batch_is_trained_in_smaller_batches(data):
    cards = dataset.load(data)
    default = train.fitted(configure("seed", 64, 64), cards, batch_given=False)
    assert default.batch == len(cards.train) < configure("seed", 64, 64).batch
    fitted = train.fitted(configure("base", 56, 40), cards, batch_given=False)
    assert (fitted.batch, fitted.negatives) == (len(cards.train), len(cards.train) // 16)


def test_a_run_is_not_ended_before_where_it_is(data, run):
    with pytest.raises(BadConfig, match=r"has seen 16 images already.*--images 32"):
        train.resume(data, run.folder, images=8)
    assert run.config.images == 16


def test_a_run_may_end_before_a_checkpoint_that_is_damaged(data, run):
    damage(run.checkpoints.folder / "2" / "progress.json")
    resumed = train.resume(data, run.folder, images=8)
    assert resumed.config.images == 8
    assert [line["step"] for line in steps(resumed)] == [1]


def test_a_run_is_not_overwritten_and_not_invented(data, run, tmp_path):
    for begin in (train.start, train.rehearse):
        with pytest.raises(BadRun, match="--resume"):
            begin(data, run.folder, "smoke", images=8)
    with pytest.raises(BadRun, match="is not the folder of a run"):
        train.resume(data, tmp_path / "other")


def test_a_run_is_not_resumed_on_other_cards(run):
    other = Dataset(np.zeros((20, 56, 40, 3), np.uint8), np.arange(18), np.arange(18, 20), "another")
    with pytest.raises(BadRun, match="other cards"):
        run.refuse_other_data(other)


def test_a_run_is_not_resumed_on_the_same_cards_as_other_kinds(run):
    rows, kinds = np.arange(18), ("dragon", "elf")
    labels = (np.arange(20) % 2).astype(np.int32)
    cards = Dataset(np.zeros((20, 56, 40, 3), np.uint8), rows, np.arange(18, 20), "same", labels, kinds)
    run.save_data(Source.of(run.folder, cards))
    run.save_config(replace(run.config, classes=kinds))
    run.refuse_other_data(cards)
    run.save_data(replace(Source.of(run.folder, cards), kinds=""))  # of a run from before kinds were written
    run.refuse_other_data(cards)
    run.save_data(Source.of(run.folder, cards))
    moved = labels.copy()
    moved[3] = 0
    for other in (replace(cards, labels=moved), replace(cards, classes=("dragon", "fairy"))):
        with pytest.raises(BadRun, match="other sub-folders, as the kinds dragon, elf"):
            run.refuse_other_data(other)


@pytest.mark.parametrize(
    ("name", "value"),
    [("augment", 0.9), ("loss", "hinge"), ("learning_rate", 1e-5), ("beta_1", 0.9), ("noise_size", 8)],
)
def test_what_shapes_the_weights_does_not_change_in_a_run(run, name, value):
    progress = Progress.at_start(run.config)
    run.refuse_other_config(replace(run.config, images=80, doctor="off", without=("stop",)), progress)
    with pytest.raises(BadRun, match=f"says {name} is {value}"):
        run.refuse_other_config(replace(run.config, **{name: value}), progress)


def test_two_trainings_do_not_share_a_folder(data, run):
    with run.held(), pytest.raises(BadRun, match="Another process trains in"):
        train.resume(data, run.folder, images=24)
    assert train.resume(data, run.folder, images=24).checkpoints.steps()[0] == 3


def test_a_run_that_was_copied_without_its_checkpoints_begins_anew_and_keeps_its_log(data, run, capsys):
    logged = run.metrics.read_text()
    shutil.rmtree(run.checkpoints.folder)
    shutil.rmtree(run.samples)
    resumed = train.resume(data, run.folder, images=24)
    assert "begins anew" in capsys.readouterr().out
    assert resumed.metrics.with_name("metrics.jsonl.before").read_text() == logged
    assert resumed.checkpoints.steps() == [3, 2, 1]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"[1]\n", b'{"step": "x", "images": null}\n', b'{"step": 1e999}\n']
)
@pytest.mark.parametrize("name", ["metrics.jsonl", "findings.jsonl"])
def test_a_line_that_cannot_be_read_is_dropped(run, name, line):
    log = run.folder / name
    before = [text for text in log.read_text().splitlines() if text] if log.exists() else []
    with log.open("ab") as file:
        file.write(line)
    run.forget_after(2)
    assert log.read_text().splitlines() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_checkpoint_out_of_reach_is_not_called_damaged(data, run):
    newest = run.checkpoints.folder / "2"
    newest.chmod(0)
    with pytest.raises(BadCheckpoint, match="cannot be read now"):
        train.resume(data, run.folder, images=24)
    newest.chmod(0o755)
    assert run.checkpoints.steps() == [2, 1]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (tf.errors.PermissionDeniedError(None, None, "no"), True),
        (tf.errors.DataLossError(None, None, "cut short"), False),
        (ValueError("not JSON"), False),
    ],
)
def test_what_cannot_be_had_is_told_from_what_is_damaged(error, away):
    assert out_of_reach(error) is away


def test_a_run_whose_dataset_was_moved_knows_where_it_is(data, run, tmp_path):
    moved = shutil.copytree(data, tmp_path / "moved")
    train.resume(moved, run.folder, images=16)
    assert Path(run.data.folder) == moved


def test_a_run_that_is_over_says_so(data, run, capsys):
    train.resume(data, run.folder)
    printed = capsys.readouterr().out
    assert "is over: it has shown 16 images. To go on, let it end later: --resume --images 32" in printed
    assert f"Publish it: holofoil export {run.folder} STORE" in printed


def refuse_ignored(sent):
    """Skip a test of a signal that is ignored, as under nohup: it stays so."""
    if signal.getsignal(sent) is signal.SIG_IGN:
        pytest.skip(f"{sent.name} is ignored here")


def wait_for_steps(folder, running):
    while not (folder / "metrics.jsonl").exists() and running():
        time.sleep(0.05)


def test_ctrl_c_ends_a_run_with_a_checkpoint_that_can_be_resumed(data, tmp_path):
    refuse_ignored(signal.SIGINT)
    command = [sys.executable, "-m", "training", "train", str(data), str(tmp_path / "run")]
    options = ["--preset", "smoke", "--images", "800000"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    wait_for_steps(tmp_path / "run", lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert f"Go on: holofoil train {data} {tmp_path / 'run'} --resume" in output
    assert "holofoil export" not in output  # it has not ended
    assert "Traceback" not in output
    run = Run.open(tmp_path / "run")
    images = run.restore(Networks.build(run.config))
    assert images > 0
    train.resume(data, tmp_path / "run", images=images + 16)


@pytest.mark.parametrize("sent", STOPS)
def test_every_signal_that_asks_for_an_end_leaves_a_checkpoint(data, tmp_path, sent):
    refuse_ignored(sent)

    def ask():
        wait_for_steps(tmp_path / "run", threading.main_thread().is_alive)
        os.kill(os.getpid(), sent)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    run = train.start(data, tmp_path / "run", "smoke", images=800_000)
    asking.join()
    assert run.restore(Networks.build(run.config)) > 0


def test_signals_are_asked_about_while_a_run_lasts_and_a_second_ctrl_c_is_not_caught():
    before = {number: signal.getsignal(number) for number in STOPS}
    given = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_IGN,
    }
    try:
        for number, handler in given.items():
            signal.signal(number, handler)
        with stopping() as stopped:
            signal.raise_signal(signal.SIGHUP)  # ignored, as under nohup
            assert not stopped()
            signal.raise_signal(signal.SIGINT)
            assert stopped()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert {number: signal.getsignal(number) for number in STOPS} == given
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_line_of_the_log_is_the_mean_of_its_own_steps(data):
    with Feed(dataset.load(data), batch=8, seed=0) as feed:
        feed.waited = 100.0  # for the steps before
        began, window = time.perf_counter(), Window(feed)
        for steps, value in ((1, 4.0), (3, 8.0)):
            window.add(dict.fromkeys(METRICS, tf.constant(value)), steps)
        time.sleep(0.01)
        line = window.line(batch=8)
        seconds = time.perf_counter() - began
    assert {line[name] for name in METRICS} == {7.0}
    assert line["input_wait"] == 0.0
    assert 4 * 8 / seconds <= line["images_per_second"] < 4 * 8 / 0.01


def test_a_grid_shows_every_card_in_order():
    cards = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1) * np.ones((1, 14, 10, 3), np.uint8)
    sheet = grid(cards, gap=2)
    shown = [int(sheet[2 + y * 16, 2 + x * 12, 0]) for y in range(sheet.shape[0] // 16) for x in range(4)]
    assert shown[:7] == list(range(7))


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_hours_that_no_clock_shows_are_refused(data, tmp_path, hours):
    with pytest.raises(BadConfig, match="--hours"):
        train.start(data, tmp_path / "run", "smoke", hours=hours)


def test_hosts_that_would_end_at_different_steps_are_refused(data, monkeypatch):
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": task}))
    with pytest.raises(BadConfig, match="say --images"):
        train.configured(data, "smoke", "none", 1.0, {}, tf.distribute.get_strategy())


def test_a_run_that_goes_on_from_any_step_tells_its_pace(data, run, capsys):
    train.resume(data, run.folder, images=200)
    assert "to go" in capsys.readouterr().out
