"""Does the posted script collapse, and does what `holofoil doctor --fix` writes of it not? A table.

    python tests/benchmarks/posted_script_against_mended.py [STEPS] [SIDE]

Both scripts run as they are on sample cards, batch 32, but for the side of their pictures and the slips that
stop the posted one. Keras 3 does not train the posted discriminator at all; as Keras 2 ran it, it does: that
is had by one train_on_batch before the stacked model freezes it, since Keras 3 keeps what is trainable when
it first traces.
"""

import contextlib
import importlib.util
import io
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
SCRIPT = Path(__file__).parents[1] / "training/doctor/scripts/posted_whole.py"
BATCH, CARDS, EVERY = 32, 500, 20
LINE = re.compile(r"Step (\d+)\] d_loss = (\S+) \| gan_loss = (\S+)")


def main(steps: int, side: int) -> None:
    from training.doctor.code import repair

    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        folder = Path(temporary)
        np.savez(folder / "cards.npz", images=sample_cards(folder / "cards", side))
        posted, mended = folder / "posted.py", folder / "mended.py"
        posted.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
        repair(posted, mended)
        print(f"{CARDS} sample cards of {side}x{side}, batch {BATCH}: D loss / G loss")
        print("step".ljust(20), *(f"{step:>13}" for step in range(0, steps, EVERY)))
        for name, script, warm in (
            ("posted, as Keras 2", posted, True),
            ("mended", mended, False),
            ("posted, Keras 3", posted, False),
        ):
            losses = played(script, steps, side, warm)
            cells = (f"{losses[step][0]:>6.3f}/{losses[step][1]:>6.2f}" for step in range(0, steps, EVERY))
            print(name.ljust(20), *cells, flush=True)


def sample_cards(folder: Path, side: int) -> np.ndarray:
    """Draw cards, squashed to a square: uint8 (n, side, side, 3)."""
    from PIL import Image

    from training.sample_cards.cards import sample_cards

    with contextlib.redirect_stdout(io.StringIO()):
        sample_cards(folder, CARDS, 0)
    pictures = [Image.open(path).convert("RGB").resize((side, side)) for path in sorted(folder.rglob("*.*"))]
    return np.stack([np.asarray(picture) for picture in pictures])


def played(script: Path, steps: int, side: int, warm: bool) -> dict[int, tuple[float, float]]:
    """Run a script's training for some steps; return (D loss, G loss) of every tenth step."""
    import keras

    keras.utils.set_random_seed(0)
    module = loaded(script, side)
    module.dataset = module.load_cards("cards.npz")
    generator, discriminator = module.generator_model(), module.discriminator_model()
    if warm:
        discriminator.train_on_batch(module.dataset[: 2 * BATCH], np.ones((2 * BATCH, 1)))
    gan = module.gan_model(generator, discriminator)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        module.training_gan(gan, discriminator, generator, batch_size=BATCH, epochs=1, epoch_steps=steps)
    return {int(step): (float(d), float(g)) for step, d, g in LINE.findall(said.getvalue())}


def loaded(script: Path, side: int) -> Any:
    """Import a script with smaller pictures, and with the slips mended that keep it from running at all."""
    text = script.read_text(encoding="utf-8")
    grid = side // 8
    changes = {
        "8*8*64": f"{grid}*{grid}*64",
        "(8, 8, 64)": f"({grid}, {grid}, 64)",
        "[64, 64, 3]": f"[{side}, {side}, 3]",
        "areport_progress": "report_progress",
        "1 + I)": "1 + i)",
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    for folder in ("generator_epochs", "discriminator_epochs", "GAN_epochs"):
        Path(folder).mkdir(exist_ok=True)
    script.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [151, 32][len(numbers) :]))
