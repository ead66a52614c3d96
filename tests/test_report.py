"""The report's pages: whole, self-contained, escaped, and saying what is missing; the explorer's data against the runs."""

import base64
import io
import json
import re
import shutil

import html5lib
import nbformat
import numpy as np
import pandas as pd
import pytest
from made_up_report import (
    CLAIMS,
    LABELS,
    NAMES,
    WORDS,
    made_up_photos,
    made_up_result,
    made_up_runs,
    refined,
    text_rows,
    write_results,
)
from PIL import Image

from ctrh.paper.published import published_table
from ctrh.paper.report import page
from ctrh.paper.report.explorer import (
    chosen_queries,
    explorer,
    kind,
    photo_queries,
    pictured,
    read_text_queries,
    save_text_queries,
)
from ctrh.paper.report.grids import grids
from ctrh.paper.report.notebook_pages import notebook_page
from ctrh.paper.report.provenance import commit, machine
from ctrh.paper.report.results import artefacts, read_claims, read_results
from profiles.demo import PROFILE as DEMO
from profiles.paper import PROFILE as PAPER
from profiles.smoke import PROFILE as SMOKE


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a complete made-up profile: (folder, pages as text)."""
    folder = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch, made_up_runs(tmp_path_factory.mktemp("cache")):
        patch.setenv("CTRH_FIGURES", str(folder))
        write_results(folder)
        paths = page.build(SMOKE)
    return folder / "smoke", [path.read_text(encoding="utf-8") for path in paths]


@pytest.fixture
def figures(tmp_path, monkeypatch):
    monkeypatch.setenv("CTRH_FIGURES", str(tmp_path / "figures"))
    return tmp_path / "figures"


def parsed(text):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words_of(element):
    return " ".join("".join(element.itertext()).split())


def test_pages_are_valid_html_with_unique_ids_and_anchors_that_exist(pages):
    for text in pages[1]:
        tree = parsed(text)
        ids = [element.get("id") for element in tree.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        inside = [a.get("href")[1:] for a in tree.iter("a") if a.get("href", "").startswith("#")]
        assert set(inside) <= set(ids)
        for name in ("aria-labelledby", "aria-describedby"):
            assert {element.get(name) for element in tree.iter() if element.get(name)} <= set(ids)


def test_pages_load_nothing_from_elsewhere(pages):
    for text in pages[1]:
        tree = parsed(text)
        loaded = [each.get("src") for each in tree.iter() if each.get("src")]
        assert all(source.startswith("data:image/") for source in loaded)
        assert {each.get("href") for each in tree.iter("link")} == {"data:,"}
        assert not list(tree.iter("iframe")) and not re.search(r"@import|url\(", text)
        (policy,) = [m.get("content") for m in tree.iter("meta") if m.get("http-equiv")]
        assert policy.startswith("default-src 'none'") and "http" not in policy


def test_linked_files_are_there(pages):
    folder, texts = pages
    links = [a.get("href") for a in parsed(texts[0]).iter("a")]
    near = [link for link in links if not link.startswith(("#", "https://"))]
    assert "notebooks/01_first.html" in near and "table1.csv" in near
    assert all((folder / link).exists() for link in near)


def test_every_picture_is_embedded_whole_and_described(pages):
    tree = parsed(pages[1][0])
    images = {figure.get("id"): figure.find("img") for figure in tree.iter("figure")}
    for artefact in artefacts():
        if artefact.kind == "figure":
            image = images[f"figure-{artefact.file}"]
            assert artefact.title in image.get("alt")
            head, _, content = image.get("src").partition(",")
            if head.startswith("data:image/svg+xml"):
                assert base64.b64decode(content).rstrip().endswith(b"</svg>")
            else:
                with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
                    assert (str(picture.width), str(picture.height)) == (
                        image.get("width"),
                        image.get("height"),
                    )


def test_every_number_of_the_tables_is_on_the_page_in_its_column(pages):
    folder, (text, *_) = pages
    tree = parsed(text)
    figures = {figure.get("id"): figure for figure in tree.iter("figure")}
    for number in set(range(1, 10)) - {3}:
        rows = pd.read_csv(folder / f"table{number}.csv")
        shown = [words_of(cell) for cell in figures[f"table-table{number}"].iter("td") if cell.get("class")]
        printed = [
            words_of(td)
            for td in figures[f"table-table{number}"].iter("td")
            if "published" in td.get("class", "")
        ]
        assert sorted(printed) == sorted(f"{value:.2f}" for value in published_table(number)["published"])
        measured = [cell for cell in shown if "±" in cell]
        assert sorted(measured) == sorted(f"{mean:.2f} ± 1.00" for mean in rows["mean"])


def test_costs_stand_beside_the_published_ones(pages):
    tree = parsed(pages[1][0])
    (figure,) = [each for each in tree.iter("figure") if each.get("id") == "table-table3"]
    lines = {words_of(row.find("th")): [words_of(td) for td in row.iter("td")] for row in figure.iter("tr")}
    published = published_table(3).query("method == 'CTRH' and metric == 'memory_mb'")["published"].unique()
    assert lines["CTRH"][:6] == [f"{1.25 + place:.2f}" for place in range(6)]
    assert lines["CTRH"][-1] == " / ".join(f"{value:.2f}" for value in published)


def test_the_best_are_strong_and_heads_span_their_columns(pages):
    """Derived from the rows by themselves; what is measured and what is published are told apart by their classes."""
    folder, (text, *_) = pages
    rows = pd.read_csv(folder / "table1.csv")
    (figure,) = [each for each in parsed(text).iter("figure") if each.get("id") == "table-table1"]
    strong = [words_of(each) for each in figure.iter("strong")]
    best = rows.groupby(["dataset", "bits"])["mean"].max()
    assert sorted(strong) == sorted(f"{mean:.2f} ± 1.00" for mean in best)
    heads = [each for each in figure.iter("th") if each.get("scope") == "colgroup"]
    lengths = rows["bits"].nunique()
    assert [(words_of(each), each.get("colspan"), each.get("class")) for each in heads] == [
        ("measured (smoke)", f"{lengths}", "measured owner"),
        ("published", f"{lengths}", "published owner"),
    ]
    titles = [words_of(each) for each in figure.iter("th") if each.get("scope") == "col"]
    assert titles == ["method", *[f"{bits} bits" for bits in sorted(rows["bits"].unique())] * 2]
    groups = [each for each in figure.iter("th") if each.get("scope") == "rowgroup"]
    assert len(groups) == 2 and {each.get("colspan") for each in groups} == {f"{len(titles)}"}


def test_rows_that_are_no_table_of_the_article_are_shown_as_they_are_unless_too_many():
    rows = pd.DataFrame({"dataset": ["a", "b"], "tags_used": [1234, 5], "share": [0.12345, np.nan]})
    rows["so"] = ["x", "*y"]
    (grid,) = grids(rows, DEMO)
    assert grid.frame.index.tolist() == [("", "a"), ("", "b")] and grid.frame.index.names[1] == "data set"
    assert grid.frame.columns.tolist() == [("", "tags used"), ("", "share"), ("", "so")]
    assert grid.frame.to_numpy().tolist() == [["1,234", "0.123", "x"], ["5", "", "*y"]]
    assert grid.styles == ("", "", "words")
    assert grids(pd.concat([rows] * 40), DEMO) == []


def test_claims_are_shown_with_their_verdicts(pages):
    tree = parsed(pages[1][0])
    (table,) = [each for each in tree.iter("table") if each.get("id") == "table-claims"]
    lines = [[words_of(cell) for cell in row] for row in table.find("tbody")]
    assert [line[0] for line in lines] == CLAIMS["claim"].tolist()
    assert lines[0][1:] == ["1.4", "2.51", "1.9 to 3.1", "✓ holds"]
    assert lines[1][4] == "✕ does not hold" and lines[2][3:] == ["", "? cannot be decided"]


def test_claims_without_a_column_are_refused(tmp_path):
    (tmp_path / "claims.csv").write_text("claim,verdict\na,holds\n")
    with pytest.raises(ValueError, match="claims.csv lacks high, low, measured, published"):
        read_claims(tmp_path / "claims.csv")


def test_figures_and_tables_that_no_line_names_are_shown_all_the_same(pages):
    results = read_results(pages[0], SMOKE)
    further = [(shown.artefact.kind, shown.artefact.file) for shown in results.of("further")]
    assert further == [("figure", "odd_one"), ("table", "odd_rows")]
    assert 'id="figure-odd_one"' in pages[1][0] and "a &lt; b" in pages[1][0]


def test_an_empty_profile_lists_all_that_is_missing(figures, cache):
    (path,) = page.build(SMOKE)
    tree = parsed(path.read_text(encoding="utf-8"))
    (listed,) = [words_of(each) for each in tree.iter("ul") if each.get("class") == "missing"]
    for artefact in artefacts():
        assert artefact.title in listed and artefact.notebook in listed
    assert "claims" in listed and "explorer" in listed
    assert not list(tree.iter("figure")) and "Nothing to explore yet" in words_of(tree)
    assert "smoke" in words_of(tree) and "drawn scenes" in words_of(tree)


def test_a_damaged_file_is_named_with_the_remedy(figures):
    folder = figures / "smoke"
    folder.mkdir(parents=True)
    (folder / "fig4.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"fig4.png cannot be read(.|\n)*run 03_comparison again"):
        read_results(folder, SMOKE)
    (folder / "fig4.png").unlink()
    (folder / "table1.csv").write_text("")
    with pytest.raises(ValueError, match=r"table1.csv cannot be read(.|\n)*run 03_comparison again"):
        read_results(folder, SMOKE)


def test_every_artefact_is_told_once_and_has_a_section(pages):
    lines = artefacts()
    assert len({(each.kind, each.file) for each in lines}) == len(lines)
    sections = [each.get("id") for each in parsed(pages[1][0]).iter("section")]
    assert {each.section for each in lines} <= set(sections)
    assert {each.kind for each in lines} == {"table", "figure"}
    numbers = {each.number for each in lines if each.number}
    assert numbers == {f"Table {n}" for n in range(1, 10)} | {f"Figure {n}" for n in range(1, 10)}


def test_what_words_hold_cannot_leave_the_data(pages):
    text = pages[1][0]
    tree = parsed(text)
    (script,) = [each for each in tree.iter("script") if each.get("id") == "explorer-data"]
    assert not list(tree.iter("b")) or all("bold" != words_of(b) for b in tree.iter("b"))
    data = json.loads(script.text)
    assert set(WORDS) >= set(data[0]["words"]) and WORDS[1] in data[0]["words"]
    assert [entry["name"] for entry in data] == list(NAMES)
    assert data[0]["labels"] == list(LABELS)
    assert "&lt;b&gt;rises&lt;/b&gt;" in text and "<b>rises</b>" not in text


def test_chosen_queries_go_from_the_worst_to_the_best():
    result = made_up_result(made_up_photos(), "CTRH", 16, 0.7)
    queries = chosen_queries(result, 6)
    ap = result.scores.ap_all
    assert ap[queries[0]] == ap.min() and ap[queries[-1]] == ap.max()
    assert sorted(ap[queries]) == ap[queries].tolist() and len(set(queries)) == len(queries) == 6


def test_rankings_are_those_of_a_plain_sort_by_distance():
    photos = made_up_photos()
    results = [made_up_result(photos, method, 16, noise) for method, noise in (("LSH", 0.9), ("CTRH", 0.2))]
    queries = [3, 0, 11]
    made = kind("photo", photo_queries(results, queries, found=5), "rule")
    split, labels = photos.split, photos.labels
    assert made["queries"] == split.query[queries].tolist() and made["methods"] == ["LSH", "CTRH"]
    for result in results:
        for place, query in enumerate(queries):
            entry = made["rankings"][f"{result.run.method}|16"][place]
            distance = (result.query_codes[query] != result.database_codes).sum(axis=1)
            order = np.argsort(distance, kind="stable")[:5]
            assert entry["photos"] == split.database[order].tolist()
            assert entry["distances"] == distance[order].tolist()
            shared = [(labels[split.query[query]] & labels[photo]).any() for photo in entry["photos"]]
            assert entry["right"] == [int(each) for each in shared]
            assert entry["ap"] == pytest.approx(result.scores.ap_all[query], abs=1e-4)


def test_photos_carry_their_tags_before_and_after_and_their_labels():
    photos = made_up_photos()
    result = made_up_result(photos, "CTRH", 16, 0.5)
    rows = photo_queries([result], [0, 1])
    data = pictured(photos, refined(photos), sorted({*rows["query"], *rows["photo"]}), set(rows["query"]))
    assert set(data["photos"]) == {*rows["query"], *rows["photo"]}
    after, truth = refined(photos).toarray(), photos.truth.toarray()
    column = {word: number for number, word in enumerate(WORDS)}
    for index, each in data["photos"].items():
        before_words = {data["words"][word] for word in each["before"]}
        after_words = {data["words"][word] for word in each["after"]}
        assert before_words == {word for word in WORDS if photos.tags.toarray()[index, column[word]]}
        assert after_words == {word for word in WORDS if after[index, column[word]]}
        right = {data["words"][word] for word in each["true"]}
        assert right == {word for word in before_words | after_words if truth[index, column[word]]}
        assert [data["labels"][label] for label in each["labels"]] == [LABELS[photos.labels[index].argmax()]]
        with Image.open(io.BytesIO(base64.b64decode(each["image"]))) as picture:
            assert picture.format == "WEBP" and picture.size == (48, 48)


def test_words_can_ask_where_somebody_supplies_them(figures, tmp_path):
    assert len(read_text_queries("smoke")) == 0
    save_text_queries(text_rows(), "smoke")
    pd.testing.assert_frame_equal(read_text_queries("smoke")[list(text_rows())], text_rows())
    with made_up_runs(tmp_path / "runs"):
        first, second = explorer(SMOKE).data
    assert [each["kind"] for each in first["kinds"]] == ["photo", "text"]
    assert [each["kind"] for each in second["kinds"]] == ["photo"]
    assert first["kinds"][1]["queries"] == ["butterfly garden", "<i>sea</i> & sun"]
    assert set(first["kinds"][1]["rankings"]) == {f"FJSPH|{bits}" for bits in SMOKE.bits}
    with pytest.raises(ValueError, match="lack distance"):
        save_text_queries(text_rows().drop(columns="distance"), "smoke")
    with pytest.raises(ValueError, match="ranks must be 1, 2"):
        save_text_queries(text_rows().iloc[1:], "smoke")


def test_data_that_are_not_here_are_told_not_raised(figures, tmp_path):
    with made_up_runs(tmp_path / "runs"), pytest.MonkeyPatch.context() as patch:

        def missing(data):
            raise FileNotFoundError(f"no {data.name} here: --data DIR")

        patch.setattr("ctrh.paper.report.explorer.photos_of", missing)
        found = explorer(SMOKE)
    assert found.data == [] and [name for name, _ in found.absent] == list(NAMES)
    assert "--data DIR" in found.absent[0][1]


def test_notebooks_become_pages_with_formulas(pages):
    tree = parsed(pages[1][1])
    assert words_of(tree.find(".//h1")) == "First: a < b"
    assert len(list(tree.iter("math"))) == 2 or pages[1][1].count("<math") == 2
    assert "(7)" in words_of(tree) and "\\" not in words_of(tree.find(".//main"))
    assert "1 < 2 & 3" in words_of(tree) and list(tree.iter("table"))
    assert [a.get("href") for a in tree.iter("a")] == ["../index.html"]


def test_at_a_glance_says_who_is_ahead(tmp_path):
    rows = pd.DataFrame(
        [
            ("CTRH", "scenes-mir", 16, 60.0),
            ("CTRH", "scenes-mir", 32, 70.0),
            ("ITQ", "scenes-mir", 16, 66.0),
            ("ITQ", "scenes-mir", 32, 68.0),
            ("LSH", "scenes-mir", 16, 10.0),
            ("LSH", "scenes-nus", 16, 10.0),
        ],
        columns=["method", "dataset", "bits", "mean"],
    )
    rows.to_csv(tmp_path / "table1.csv", index=False)
    expected = {"dataset": "scenes-mir", "ours": 65, "method": "ITQ", "other": 67}
    assert page.glances(tmp_path, SMOKE) == [expected]


def test_the_page_says_what_was_measured_and_what_was_published():
    assert "drawn scenes" in page.data_note(DEMO) and "never the article" in page.data_note(DEMO)
    assert "drawn" not in page.data_note(PAPER)


def test_provenance_names_settings_and_commit_but_not_the_machine(pages, tmp_path):
    (facts,) = parsed(pages[1][0]).iter("dl")
    names = [words_of(each) for each in facts.iter("dt")]
    said = dict(zip(names, (words_of(each) for each in facts.iter("dd"))))
    assert said["profile"] == "smoke" and said["data"] == "scenes-mir, scenes-nus"
    assert said["training"].startswith(f"{SMOKE.train.epochs} epochs in batches of ")
    assert said["versions"].startswith("Python 3") and "torch" in said["versions"]
    assert "train=TrainConfig(epochs=2," in pages[1][0] and "name=&#39;scenes-nus&#39;" in pages[1][0]
    assert "cores" in machine()
    assert commit(tmp_path) == "unknown"
    if shutil.which("git"):
        assert re.fullmatch(
            r"unknown|[0-9a-f]{12}( with changes)?", commit(page.files("ctrh").joinpath(".."))
        )


def test_cells_tagged_so_are_folded(tmp_path):
    v4 = nbformat.v4
    cells = [v4.new_code_cell("a = 1", metadata={"tags": ["hide-input"]}), v4.new_code_cell("b = 2")]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    title, body = notebook_page(tmp_path / "01_a.ipynb")
    assert title == "01_a"
    folded = body[body.index("<details>") : body.index("</details>")]
    assert body.count("<details>") == 1 and ">a<" in folded and ">b<" not in folded
