"""Which trainings each notebook shows, and the process that goes ahead with them (:mod:`ctrh.paper.ahead`)."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

from ctrh.paper import claim_numbers, noise, runs, selection, teachers, training_rows
from ctrh.paper.ahead import turn
from ctrh.paper.cross_modal import runs as cross_runs
from ctrh.paper.cross_modal import tables as cross_tables
from ctrh.paper.profiles import Profile
from ctrh.paper.studies import ablation, backbones, guides, readings, sensitivity

Planned = runs.Run | cross_runs.CrossRun


def _comparison(profile: Profile) -> list[Planned]:
    names = [each.data.name for each in profile.datasets]
    taught = [run for name in names for run in teachers.taught_runs(profile, name)]
    trials = selection.trial_runs(profile).values()
    return [*trials, *claim_numbers.comparison_runs(profile), *taught, *noise.noise_runs(profile, names[0])]


def _ablation(profile: Profile) -> list[Planned]:
    return ablation.variant_runs(profile) + ablation.without_runs(profile)


def _readings(profile: Profile) -> list[Planned]:
    return readings.reading_runs(profile) + readings.feature_runs(profile)


def _cross_modal(profile: Profile) -> list[Planned]:
    profile, _ = cross_tables.with_present_data(profile)
    lists = (cross_tables.comparison_runs, cross_tables.ablation_runs, cross_tables.choice_runs)
    return [run for runs in lists for run in runs(profile)]


# By the notebooks' numbers; those that are missing here train nothing of their own.
PLANS: dict[int, Callable[[Profile], list[Planned]]] = {
    2: training_rows.training_runs,
    3: _comparison,
    4: _ablation,
    5: sensitivity.sensitivity_runs,
    6: backbones.backbone_runs,
    7: guides.guide_runs,
    8: _readings,
    10: _cross_modal,
}


def go_ahead(profile: Profile, numbers: Sequence[int]) -> None:
    """Stores what the notebooks ``numbers`` will ask for, in their order, one training at a time; those of a notebook
    from the last to the first, so that a notebook that has begun with them meets this in the middle.

    One that fails is left to its notebook, which tells the reader.
    """
    for number in numbers:
        for run in reversed(PLANS.get(number, lambda profile: [])(profile)):
            try:
                with turn():
                    complete = (
                        runs.complete if isinstance(run, runs.Run) else cross_runs.complete
                    )
                    complete(run)
            except Exception:
                traceback.print_exc()


def _end_with_the_runner() -> None:
    sys.stdin.read()  # comes back when the other end is gone
    os._exit(0)


if __name__ == "__main__":
    os.nice(10)  # the notebooks come first
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    os.environ["CTRH_PROGRESS"] = os.devnull
    go_ahead(Profile.named(sys.argv[1]), [int(number) for number in sys.argv[2:]])
