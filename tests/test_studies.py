"""Studies: how many runs, one change at a time, and the same runs where studies meet."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
from study_task import TINY

from ctrh.paper.published import published_table
from ctrh.paper.runs import Run, make_run
from ctrh.paper.studies import ablation, backbones, guides, readings, sensitivity
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE

RUNS = {
    "ablation": ablation.variant_runs,
    "without": ablation.without_runs,
    "sensitivity": sensitivity.sensitivity_runs,
    "backbones": backbones.backbone_runs,
    "guides": guides.guide_runs,
    "readings": readings.reading_runs,
}
SEEDED = replace(DEMO, seeds=(0, 1, 2))


def content(run: Run) -> Run:
    return replace(run, label="")


def table1(profile) -> set[Run]:
    """The runs of CTRH in Tables 1 and 2."""
    return {
        make_run(profile, dataset.data.name, "CTRH", bits, seed)
        for dataset in profile.datasets
        for bits in profile.bits
        for seed in profile.seeds
    }


def leaves(settings: dict, path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def changes(run: Run, profile) -> dict[str, object]:
    """What tells ``run`` from the profile's CTRH: path -> value."""
    own = make_run(profile, run.data.name, "CTRH", run.bits, run.seed)
    plain = dict(leaves(asdict(own)))
    return {
        path: value
        for path, value in leaves(asdict(content(run)))
        if plain.get(path) != value and path != "label"
    }


@pytest.mark.parametrize(
    ("study", "count"),
    [
        ("ablation", 96),
        ("without", 42),
        ("sensitivity", 90),
        ("backbones", 96),
        ("guides", 48),
        ("readings", 114),
    ],
)
def test_a_study_has_every_cell_and_seed_once(study, count):
    runs = RUNS[study](SEEDED)
    assert len(runs) == count
    assert len({(r.data.name, r.label, r.bits, r.seed) for r in runs}) == count
    assert {r.profile for r in runs} == {"demo"} and {r.method for r in runs} == {"CTRH"}
    for name in ("scenes-mir", "scenes-nus"):
        assert sum(r.data.name == name for r in runs) == count / 2
    bits = {r.bits for r in runs}
    assert bits == (set(DEMO.bits) if study in ("ablation", "backbones", "guides") else {48})


def test_runs_that_studies_share_are_computed_once():
    total = {content(run) for runs in RUNS.values() for run in runs(SEEDED)}
    assert table1(SEEDED) <= total
    # 72 of Tables 4 and 5; 6 × (without TR, without removal, α = 0, α = 1); 2 α, 4 ε and 3 λ4 of Figure 9;
    # 72 of Tables 6 and 7; 24 of Tables 8 and 9; 18 readings.
    assert len(total - table1(SEEDED)) == 72 + 6 * (4 + 2 + 4 + 3 + 18) + 72 + 24


@pytest.mark.parametrize("profile", [SMOKE, DEMO, PAPER], ids=lambda profile: profile.name)
def test_every_study_contains_the_default_as_table_1_has_it(profile):
    for study, runs in RUNS.items():
        own = table1(profile) & {content(run) for run in runs(profile)}
        places = {(run.data.name, run.bits, run.seed) for run in own}
        lengths = profile.bits if study in ("ablation", "backbones", "guides") else (profile.study.bits,)
        wanted = {(d.data.name, b, s) for d in profile.datasets for b in lengths for s in profile.seeds}
        if study == "backbones" or study == "guides":
            assert places == wanted
        assert places >= wanted


def test_variants_differ_as_the_article_says():
    found = {label: ablation.variant(DEMO, "nuswide", label, 32, 0) for label in ablation.VARIANTS}
    assert {label: changes(run, DEMO) for label, run in found.items()} == {
        "Baseline": {"tags.variant": "user", "settings.tag_weighting": False},
        "TR": {"settings.tag_weighting": False},
        "TR+TW": {"settings.losses.weights": (1.0, 10.0, 1.0, 0.0)},
        "CTRH": {},
    }


def test_each_part_is_removed_alone():
    assert {
        label: changes(ablation.variant(DEMO, "mirflickr", label, 48, 0), DEMO) for label in ablation.WITHOUT
    } == {
        "without TR": {"tags.variant": "user"},
        "without TW (and TB)": {"settings.tag_weighting": False},
        "without TB": {"settings.losses.weights": (1.0, 10.0, 1.0, 0.0)},
        "without removal": {"tags.refine.remove_redundant": False},
        "zero-shot guide": {"tags.refine.alpha": 0.0},
        "fine-tuned guide": {"tags.refine.alpha": 1.0},
    }


def test_figure_9_changes_one_number_at_a_time():
    where = {"α": "tags.refine.alpha", "ε": "settings.losses.margin", "λ4": "settings.losses.weights"}
    for run in sensitivity.sensitivity_runs(DEMO):
        parameter, value = run.label.split(" = ")
        changed = changes(run, DEMO)
        own = sensitivity.chosen_values(DEMO.dataset(run.data.name))[parameter]
        expected = (1.0, 10.0, 1.0, float(value)) if parameter == "λ4" else float(value)
        assert changed == ({} if own == float(value) else {where[parameter]: expected})


def test_studied_values_are_the_article_s():
    assert sensitivity.values_of(PAPER) == {
        "α": (0.0, 0.25, 0.5, 0.75, 1.0),
        "ε": (0.6, 0.7, 0.8, 0.9, 1.0),
        "λ4": (0.0, 5.0, 10.0, 15.0, 20.0),
    }
    assert PAPER.study.bits == DEMO.study.bits == 48
    for profile in (SMOKE, DEMO, PAPER):
        assert profile.study.bits in profile.bits
        for dataset in profile.datasets:
            for parameter, own in sensitivity.chosen_values(dataset).items():
                assert own in sensitivity.values_of(profile)[parameter]


@pytest.mark.parametrize("profile", [DEMO, PAPER], ids=lambda profile: profile.name)
def test_only_the_backbone_changes_and_the_guide_stays_frozen(profile):
    for run in backbones.backbone_runs(profile):
        name = dict(profile.study.backbones)[run.label]
        assert run.inputs.backbone == name
        assert run.inputs.end_to_end == (profile.name == "paper" and name != "guide")
        changed = {"inputs.backbone", "inputs.end_to_end"}
        if not run.inputs.end_to_end:  # features cannot be cropped, or decoded once more
            changed |= {"settings.train.augment", "settings.train.decoded"}
            assert not run.settings.train.augment and not run.settings.train.decoded
        assert set(changes(run, profile)) <= changed


def test_only_the_guide_of_the_tags_changes():
    for run in guides.guide_runs(PAPER):
        other = {"tags.guide.name": "ViT-B-32", "tags.guide.pretrained": "laion2b_s34b_b79k"}
        assert changes(run, PAPER) == ({} if run.label == "CLIP" else other)


@pytest.mark.parametrize(("study", "choice"), [(backbones, "backbones"), (guides, "guides")])
def test_labels_stand_for_the_rows_of_the_article(study, choice):
    for number in study.TABLES:
        published = set(published_table(number).iloc[:, 0])
        for profile in (DEMO, PAPER):
            labels = [label for label, _ in getattr(profile.study, choice)]
            assert {study.STANDS_FOR.get(label, label) for label in labels} == published


def test_readings_change_what_they_say_and_nothing_else():
    seen = set()
    for run in readings.reading_runs(TINY):
        reading = next((r for r in readings.readings(TINY) if r.label == run.label), None)
        changed = changes(run, TINY)
        if reading is None:
            assert run.label == "CTRH" and not changed
            continue
        expected = {f"tags.refine.{name}" for name in reading.refine}
        expected |= {f"settings.losses.{name}" for name in reading.losses}
        expected |= {f"settings.{name}" for name in reading.settings}
        if reading.rates != 1:
            expected |= {f"settings.train.lr_{part}" for part in ("backbone", "head", "tags")}
        assert set(changed) == expected, run.label
        seen.add(run.label)
    assert len(seen) == len(readings.readings(TINY))
