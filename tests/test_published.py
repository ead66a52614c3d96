"""The printed numbers: complete, and consistent with what the article says about them."""

import pytest

from ctrh.paper.published import TABLES, published_table

METHODS = ["LSH", "SH", "ITQ", "WDHT", "MGRN", "EWSH", "WSHRCA", "CTRH"]


@pytest.mark.parametrize(
    ("table", "names", "lengths"),
    [(1, 8, 4), (2, 8, 4), (4, 4, 4), (5, 4, 4), (6, 4, 4), (8, 2, 4), (9, 2, 4)],
)
def test_every_cell_is_there_once(table, names, lengths):
    frame = published_table(table)
    compares = TABLES[table][1]
    assert frame[compares].nunique() == names and sorted(frame["bits"].unique()) == [16, 32, 48, 64]
    assert len(frame) == names * lengths * 2 == len(frame.drop_duplicates([compares, "dataset", "bits"]))
    assert frame["published"].between(20, 100).all()


def test_methods_and_datasets_are_named_as_in_the_article():
    frame = published_table(1)
    assert list(frame["method"].unique()) == METHODS
    assert set(frame["dataset"]) == {"mirflickr", "nuswide"}
    assert set(published_table(8)["guide"]) == {"CLIP", "OpenCLIP"}


def test_table_3_has_two_metrics_at_64_bits():
    frame = published_table(3)
    assert set(frame["metric"]) == {"time_ms", "memory_mb"} and set(frame["bits"]) == {64}
    assert len(frame) == 5 * 2 * 2


@pytest.mark.parametrize(
    ("table", "dataset", "gain"),
    [(1, "mirflickr", 1.4), (1, "nuswide", 0.8), (2, "mirflickr", 2.7), (2, "nuswide", 1.1)],
)
def test_average_gains_over_wshrca_follow_from_the_numbers(table, dataset, gain):
    frame = published_table(table).query("dataset == @dataset")
    means = frame.groupby("method")["published"].mean()
    assert means["CTRH"] - means["WSHRCA"] == pytest.approx(gain, abs=0.051)


def test_tables_that_repeat_numbers_agree():
    ours = published_table(1).query("method == 'CTRH'")["published"].tolist()
    assert published_table(8).query("guide == 'CLIP'")["published"].tolist() == ours
    assert published_table(6).query("backbone == 'AlexNet'")["published"].tolist() == ours


def test_all_tables_are_there_and_whole():
    assert sorted(TABLES) == list(range(1, 10))
    assert not any(published_table(number).isna().any().any() for number in TABLES)
    with pytest.raises(ValueError, match="not 10"):
        published_table(10)
