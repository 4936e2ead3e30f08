"""The command line, `holofoil` or `python -m training`: no logic."""

import os
import shlex
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from training.trouble import Trouble, refusal

if TYPE_CHECKING:
    from training.dataset import Dataset

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
Out = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
Data = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Store = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]


def sample_cards(out: Out, count: int = 1000, seed: int = 0) -> None:
    """Draw trading cards to train on, so that a first run needs no pictures of your own.

    Args:
        out: Folder to write the cards into.
        count: Number of cards.
        seed: The same seed draws the same cards.
    """
    from training.sample_cards.cards import sample_cards

    sample_cards(out, count, seed)
    print(f"Next: holofoil prepare {shlex.quote(str(out))} DATA")


def prepare(folder: Folder, out: Out, size: str = "auto", orientation: Literal["one", "any"] = "one") -> None:
    """Turn a folder of pictures into a dataset.

    Args:
        folder: Folder of PNG, JPEG, WebP, BMP or GIF files, nested or not.
        out: Folder for the dataset.
        size: WIDTHxHEIGHT of the cards that the networks will draw: 40x56, 80x112 or 160x224 for trading
            cards, 64x64 for the posted networks; auto chooses small cards of the pictures' own shape.
        orientation: one leaves out landscape pictures among portrait ones, or the reverse; any keeps them
            and squashes them to the same shape.
    """
    from training.folder import parse_size
    from training.prepare import prepare

    dataset = prepare(folder, out, *parse_size(size), orientation)
    counts = f"{len(dataset.train):,} cards to train on, {len(dataset.holdout):,} held out"
    print(f"{out}: {counts}, {dataset.size[1]}x{dataset.size[0]}.")
    print(f"Next: holofoil train {shlex.quote(str(out))} RUN")


def audit(
    folder: Folder,
    size: str = "auto",
    preset: str = "auto",
    orientation: Literal["one", "any"] = "one",
    page: Path | None = None,
    json: bool = False,
    fix: Path | None = None,
    crop: bool = False,
    near: bool = False,
) -> int:
    """Check every picture of a folder for what will harm a GAN trained on them.

    The exit code is 0 if nothing is worse than a note, 1 if something is, 2 if the folder cannot be judged.

    Args:
        folder: Folder of PNG, JPEG, WebP, BMP or GIF files, nested or not; nothing in it is changed.
        size: WIDTHxHEIGHT of the cards that the networks will draw, or auto, as for prepare.
        preset: Preset that you will train with, as for train; auto is tiny, or base on a GPU.
        orientation: one reports landscape pictures among portrait ones, or the reverse; any does not.
        page: HTML file to write, with pictures of every finding; it needs no network.
        json: Print everything as JSON.
        fix: Folder for a cleaned copy, as links or copies in the same sub-folders: without unreadable,
            animated, blank and wrongly oriented pictures, and with one picture of each set of copies.
        crop: With --fix, cut wider margins down to the usual ones.
        near: With --fix, also keep only one picture of each set of near copies.
    """
    from training.audit.audit import NoAudit, audit
    from training.audit.fix import fix as fix_folder
    from training.audit.page import write_page

    if fix is None and (crop or near):
        raise NoAudit("--crop and --near change what --fix writes: say where to, as in --fix FIXED.")
    found = audit(folder, size, preset, orientation)
    if page is not None:
        write_page(found, page)
    if fix is not None:
        print(fix_folder(found, fix, crop, near), file=sys.stderr)
    print(found.to_json() if json else found.text())
    return found.status


def train(
    data: Data,
    run: Run,
    preset: str | None = None,
    images: int | None = None,
    hours: float | None = None,
    batch: int | None = None,
    augment: float | Literal["adaptive"] | None = None,
    seed: int | None = None,
    labels: Literal["none", "folders"] | None = None,
    origin: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    freeze: int | None = None,
    projected: float | None = None,
    precision: Literal["float32", "bfloat16"] | None = None,
    doctor: Literal["off", "watch", "act"] | None = None,
    without: tuple[Literal["raise-r1", "raise-augment", "roll-back", "stop"], ...] = (),
    dry_run: bool = False,
    resume: bool = False,
) -> None:
    """Train a generator and a discriminator.

    Args:
        data: A prepared dataset.
        run: Folder of the run: samples, metrics and checkpoints.
        preset: auto chooses by machine and hours; nano is for minutes on a CPU, tiny for some 45 minutes on
            a CPU, base for a GPU, smoke for seconds; seed is the posted recipe that fails; dcgan-r1, r3 and
            hinge-sn are for comparison.
        images: Real images to train on in total; the preset's own number if not given.
        hours: Hours to train for, instead of images; a few timed steps tell how many images that is.
        batch: Images in a step; the preset's own number if not given.
        augment: Probability of each augmentation, or adaptive: as much as keeps the discriminator from
            memorising the cards; adaptive if not given.
        seed: The same seed, data and machine repeat the run; 0 if not given.
        labels: folders makes each top-level sub-folder of the pictures a kind of card.
        origin: Run or model store whose weights to start from: with networks of the same shape, or a run on
            cards of half the width and height.
        freeze: With --from, the number of the discriminator's first convolutions whose weights do not change.
        projected: Weight of a second discriminator, on frozen image features; 0 trains without it; the
            preset's own if not given.
        precision: Number format of the convolutions; bfloat16 if not given and the device supports it.
        doctor: watch reports what goes wrong, act also treats it, off does neither; act if not given.
        without: Treatments that the doctor must not try.
        dry_run: Print what the run would cost, and stop; nothing is written.
        resume: Continue a run as it was started; only --images, --doctor and --without may change.
    """
    import_tensorflow()
    from training import train as trainer
    from training.config import BadConfig
    from training.judge import Judge
    from training.run import going_on

    def judge_of(cards: "Dataset") -> Judge:
        return Judge(cards, folder=data)

    options = {
        "preset": preset,
        "batch": batch,
        "augment": augment,
        "seed": seed,
        "images": images,
        "hours": hours,
        "labels": labels,
        "origin": origin,
        "frozen": freeze,
        "precision": precision,
        "projected": projected,
        "doctor": doctor,
        "without": without or None,
    }
    changes = {name: value for name, value in options.items() if value is not None}
    if dry_run and resume:
        raise BadConfig("--dry-run tells of a new run; leave out --resume, or --dry-run to go on.")
    if dry_run:
        print(trainer.rehearse(data, run, **changes))
    elif not resume:
        trainer.start(data, run, judge_of=judge_of, **changes)
    elif changes.keys() <= {"images", "doctor", "without"}:
        trainer.resume(data, run, judge_of=judge_of, **changes)
    else:
        raise BadConfig(
            "A resumed run keeps its configuration; with --resume only --images may change, and --doctor and "
            f"--without. Leave out the rest: {going_on(str(data), run)}"
        )


def export(run: Run, store: Store, data: Path | None = None) -> None:
    """Publish a run's networks as SavedModels.

    Args:
        run: Folder of the run.
        store: Model store to publish a new version in, atomically.
        data: The run's dataset, if it was moved since the training.
    """
    import_tensorflow()
    from training.export import export

    version = export(run, store, data)
    place = shlex.quote(str(store))
    print(f"Published version {version}. Serve it: HOLOFOIL_MODELS={place} holofoil-gateway")


def evaluate(
    run: Run,
    data: Path | None = None,
    count: int = 500,
    seeds: int = 3,
    inception: Path | None = None,
) -> None:
    """Measure how good a run's cards are, beside what real cards score against each other.

    Writes evaluation.json and neighbours.png, generated cards beside their nearest training cards, into RUN.

    Args:
        run: Folder of the run.
        data: The run's dataset, if it was moved since the training.
        count: Number of generated cards in a sample, and of real cards to compare them with.
        seeds: Number of samples, from which the spread is computed.
        inception: File with the weights of Keras' InceptionV3 without its top, if not in Keras' own folder.
    """
    import_tensorflow()
    from training.evaluate import evaluate

    print(evaluate(run, data, count, seeds, inception).table())
    print(f"Generated cards beside their nearest training cards: {run / 'neighbours.png'}")


def doctor(
    target: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TARGET]")] = None,
    fix: Path | None = None,
    columns: str = "",
    plot: Path | None = None,
    json: bool = False,
    demo: bool = False,
    minutes: float = 3.0,
) -> int:
    """Say why a GAN fails: from its script or notebook, its log, or the folder of a run.

    Scripts are read, not run. The exit code is 0 if nothing is worse than a note, 1 if something is, 2 if the
    target cannot be read.

    Args:
        target: A .py or .ipynb file; a log as CSV, JSONL, Keras' History, printed lines or TensorBoard's
            events; a folder of such events; the folder of a run, also one that is still training; with
            --demo, the folder to write into, doctor-demo if not given.
        fix: Also write a repaired script to this file; the original stays as it is.
        columns: Which column of a log is which signal, to correct a wrong guess: d_loss=col7,g_loss=gan.
        plot: File for a picture of the log's curves, with the findings marked; if not given, it is written
            beside a log, and not at all for a run.
        json: Print the findings as JSON.
        demo: Train a recipe that fails, then its repairs, one by one, and draw what each changes.
        minutes: Processor time for each of the demo's eight recipes, in minutes.
    """
    from training.doctor import consult

    if demo:
        import_tensorflow()
        from training.doctor.demo import demo as compare

        print(compare(target or Path("doctor-demo"), minutes))
        return 0
    if target is None:
        raise consult.BadTarget("Name a script or notebook, a log or the folder of a run, or say --demo.")
    findings = consult.consult(target, columns, plot)
    print(consult.as_json(findings) if json else consult.as_text(findings))
    if fix is not None:
        print(consult.fix(target, fix), file=sys.stderr if json else sys.stdout)
    elif not json and (hint := consult.next_step(target, findings)):
        print(hint)
    return consult.exit_code(findings)


def report(run: Run) -> None:
    """Write a run's report, RUN/report.html: one page with its curves, cards, findings and cost.

    The trainer writes it too, at each evaluation and when the run ends.

    Args:
        run: Folder of the run, finished or still being written.
    """
    import_tensorflow()
    from training.report.report import write

    print(f"Open it in a browser: {write(run)}")


def import_tensorflow() -> None:
    """Load it for a command that needs it, ahead of the rooms that import it, without its notes."""
    from serving.quiet import start_up_notes_dropped

    with start_up_notes_dropped():
        import tensorflow  # noqa: F401


COMMANDS = {
    "sample-cards": sample_cards,
    "audit": audit,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "export": export,
    "doctor": doctor,
}


def main() -> None:
    """Run one command; what the user can mend is told without a traceback."""
    # Without it TensorFlow reports a machine without GPU as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves oneDNN off where a CPU has no AVX-512 VNNI, and training takes 1.6 times as long.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    warnings.filterwarnings("ignore", module="PIL")  # says on stderr what is odd about a picture
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what is half written is cleared away
    try:
        status = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="holofoil")
        sys.stdout.flush()
        sys.exit(status)
    except Trouble as trouble:
        print(f"holofoil: {trouble}", file=sys.stderr)
        sys.exit(trouble.status)
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # a full disk or a folder without rights is no fault of the code
        print(f"holofoil: {refusal(error, error.filename or shlex.join(sys.argv[1:]))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
