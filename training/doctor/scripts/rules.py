"""Every rule for scripts, in the order of their ids."""

from collections.abc import Callable, Iterator

from training.doctor.finding import Finding
from training.doctor.scripts import (
    rules_freezing,
    rules_game,
    rules_habits,
    rules_losses,
    rules_names,
    rules_networks,
    rules_optimizers,
    rules_passes,
    rules_penalties,
    rules_range,
)
from training.doctor.scripts.script import Script

Rule = Callable[[Script], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    rules_names.undefined_names,  # C1
    rules_names.excerpt,  # C2
    rules_freezing.frozen_discriminator,  # C3
    rules_losses.squashed_before_loss,  # C4
    rules_losses.logits_mismatch,  # C5
    rules_passes.predicted_fakes,  # C6
    rules_passes.untrained_pass,  # C7
    rules_passes.mixed_batch,  # C8
    rules_range.unscaled_images,  # C9
    rules_penalties.unregularised,  # C10
    rules_networks.uneven_kernels,  # C11
    rules_losses.smoothed_accuracy,  # C12
    rules_networks.missing_bias,  # C13
    rules_habits.misplaced_report,  # C14
    rules_habits.nothing_saved,  # C15
    rules_habits.changing_noise,  # C16
    rules_networks.weaker_by_count,  # C17
    rules_penalties.normal_interpolation,  # C18
    rules_networks.norm_under_penalty,  # C19
    rules_networks.resize_under_penalty,  # C20
    rules_optimizers.shared_optimizer,  # C21
    rules_habits.missing_folders,  # C22
    rules_game.both_moved,  # C23
    rules_game.bounded_margin,  # C24
    rules_game.wrong_sign,  # C25
    rules_names.moved_modules,  # C26
)
