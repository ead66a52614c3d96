"""The command line from end to end on twelve pictures, and one line with a remedy for whatever a user gets wrong."""

import csv
import errno
import re
import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from conftest import failed
from PIL import Image
from safetensors.torch import save_file

import ctrh.app.fitting
from ctrh.app import cli, model_folder
from ctrh.app.cli import build_parser, main
from ctrh.app.photo_search import encode, load_search
from ctrh.backbones import BACKBONES, backbone_features
from ctrh.data.folder import read_folder
from ctrh.data.images import FileImages
from ctrh.guide import small
from ctrh.methods.registry import compared
from ctrh.methods.text_codes import text_scores
from ctrh.retrieval.codes import unpack
from ctrh.retrieval.metrics import CONVENTIONS


def test_fit_then_search_finds_the_photo_itself(fit, folder, capsys, tmp_path):
    assert fit() == 0
    said = capsys.readouterr()
    assert "the guide sees" in said.err
    printed = said.out.split()
    results = pd.read_csv(fit.out / "results.csv")
    assert results.method.tolist() == ["LSH", "SH", "PCA-RR", "ITQ", "CTRH"] and set(results.method) < set(printed)
    assert results[["mAP@all", "mAP@5000", "P@10"]].map(lambda value: 0 <= value <= 1).all(axis=None)
    assert len(pd.read_csv(fit.out / "history.csv")) == 2

    query, sheet = folder / "images" / "04.png", tmp_path / "sheet.png"
    # Options may stand before, between and after the two names.
    for options in (["-k", "5", str(query)], [str(query), "-k", "5"], ["-k", "5", "--sheet", str(sheet), str(query)]):
        assert main(["search", str(fit.out), *options]) == 0
        rows = printed_rows(capsys)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    distances = [int(row[1]) for row in rows]
    assert distances == sorted(distances) and distances[0] == 0
    assert main(["search", str(fit.out), str(query), "-k", "99"]) == 0
    found = {line.split()[2]: int(line.split()[1]) for line in capsys.readouterr().out.splitlines()[1:]}
    assert len(found) == 12 and found["04.png"] == 0
    assert Image.open(sheet).size == (960, 190)


def printed_rows(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


def test_export_writes_an_encoder_that_other_programs_run(fit, folder, capsys, tmp_path):
    assert fit() == 0
    path, found = tmp_path / "encoder.onnx", load_search(fit.out)
    assert main(["export", str(fit.out), str(path)]) == 0
    assert "pixels (N, 3, 112, 112)" in capsys.readouterr().out
    pictures = [Image.open(folder / "images" / name).convert("RGB") for name in found.names]
    pixels = torch.stack([found.backbone.preprocess(each) for each in pictures])
    (codes,) = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels.numpy()})
    assert (codes == unpack(found.index.codes, 8)).mean() > 0.95  # a bit may lie on the threshold
    capsys.readouterr()
    assert "for an encoder as FILE.onnx" in failed(capsys, main(["export", str(fit.out), "--int8"]))
    assert main(["export", str(fit.out), str(tmp_path / "encoder.bin")]) == 2
    assert "encoder.bin" in capsys.readouterr().err


@pytest.mark.parametrize("alpha", ["0", "0.5"])
def test_search_by_text_asks_the_guide_that_the_hasher_learned_from(
    fit, folder, capsys, tmp_path, monkeypatch, alpha
):
    def tuned(guide, photos):
        return guide.with_weights({name: value + 0.01 for name, value in guide.model.state_dict().items()})

    monkeypatch.setattr("ctrh.app.refining.finetune", tuned)
    assert fit("--alpha", alpha) == 0
    assert (fit.out / "guide.safetensors").exists() == (alpha != "0")
    capsys.readouterr()
    sheet = tmp_path / "sheet.png"
    assert main(["search", str(fit.out), "--text", "red colour", "-k", "12", "--sheet", str(sheet)]) == 0
    rows = printed_rows(capsys)
    found = load_search(fit.out, text=True)
    codes = unpack(found.index.codes, 8)
    expected = text_scores(found.hasher, codes, found.text_guide.text_features(["red colour"]))[0]
    assert [row[2] for row in rows] == [found.names[i] for i in np.argsort(-expected, kind="stable")]
    assert [float(row[1]) for row in rows] == pytest.approx(sorted(expected, reverse=True), abs=6e-4)
    assert Image.open(sheet).size == (960, 570)
    vocabulary = read_folder(folder).vocabulary
    text = found.text_guide.text_features(vocabulary)
    np.testing.assert_allclose(found.hasher.network.text.numpy(), text, atol=1e-5)
    if alpha != "0":
        assert main(["export", str(fit.out)]) == 0
        with monkeypatch.context() as patch:
            patch.setattr("ctrh.app.photo_search.load_search", None)  # which asks PyTorch
            assert main(["search", str(fit.out), "--text", "red colour", "-k", "12"]) == 0
        again = printed_rows(capsys)
        assert [row[2] for row in again] == [row[2] for row in rows]
        assert [float(row[1]) for row in again] == pytest.approx([float(row[1]) for row in rows], abs=2e-3)
        (fit.out / "guide.safetensors").write_bytes(b"half")
        assert "fit it again" in failed(capsys, main(["search", str(fit.out), "--text", "red"]))


def test_the_same_fit_twice_gives_the_same_model(fit, tmp_path):
    fit()
    first = {path.name: path.read_bytes() for path in fit.out.iterdir()}
    fit.out = tmp_path / "again"
    fit()
    again = {path.name: path.read_bytes() for path in fit.out.iterdir()}
    assert first.keys() == again.keys()
    for name in ("codes.index", "results.csv", "tags.csv", "ctrh.safetensors", "config.json"):
        assert first[name] == again[name], name


def test_user_tags_and_no_labels(fit, folder, capsys):
    fit()
    (folder / "labels.csv").unlink()
    assert fit("--tags", "user", "--queries", 1) == 0
    assert not (fit.out / "results.csv").exists()
    rows = list(csv.reader(open(fit.out / "tags.csv", newline="")))
    assert rows[1] == ["00.png", "colour, photo, red"]


def test_refine_prints_or_writes_a_table_like_tags_csv(folder, weights, capsys, tmp_path):
    command = ["refine", str(folder), "--pretrained", str(weights)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "refined.csv")]) == 0
    assert (tmp_path / "refined.csv").read_text() == printed
    (folder / "tags.csv").write_text(printed)
    refined = read_folder(folder, strict=True, least=1)
    assert (refined.tags.sum(axis=1) == 3).all()


def test_refine_with_fine_tuning(folder, weights, monkeypatch, capsys):
    asked = []

    def not_really(guide, photos):
        asked.append(len(photos))
        return guide

    monkeypatch.setattr("ctrh.app.refining.finetune", not_really)
    assert main(["refine", str(folder), "--pretrained", str(weights), "--alpha", "0.5"]) == 0
    assert asked == [12]


def test_a_damaged_picture_is_a_warning_and_strict_an_error(fit, folder, capsys):
    (folder / "images" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert fit() == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    (about,) = [line for line in warned if "03.png" in line]
    assert "mend or remove" in about
    assert "03.png" not in load_search(fit.out).names
    assert "03.png" in failed(capsys, fit("--strict"))


def test_help_waits_for_nothing():
    script = "import sys, ctrh.app.cli as cli; cli.build_parser(); assert not {'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "ctrh", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "fit" in done.stdout and "openclipart" not in done.stderr


def test_what_is_wrong_is_said_before_anything_slow_is_imported(folder, tmp_path):
    model, empty, file = tmp_path / "model", tmp_path / "empty", folder / "tags.csv"
    (empty / "images").mkdir(parents=True)
    model_folder.begin(model)
    about = {"method": "CTRH", "encoder": {}, "backbone_key": "", "folder": ""}
    model_folder.finish(model, about)
    (model / "codes.index").touch()
    model_folder.finish(empty, {"encoder": {}})
    fit = ["fit", folder, "--out", tmp_path / "out"]
    cases = {
        "not a folder": ["refine", tmp_path / "nowhere"],
        "holds no picture": ["refine", empty],
        "no guide 'oracle'": ["refine", folder, "--guide", "oracle"],
        "which Eq. (4) needs": ["refine", folder, "--guide", "ViT-B-16-SigLIP"],
        "no weights file": ["refine", folder, "--pretrained", tmp_path / "gone.pt"],
        "give --weights": [*fit, "--weights", tmp_path / "nowhere"],
        "tags.csv is a file": ["fit", folder, "--out", file],
        "holds something else": ["fit", folder, "--out", folder],
        "cannot be written": ["refine", folder, "--out", "/proc/out.csv"],
        "cannot take 99 queries": [*fit, "--queries", "99"],
        "no complete model": ["search", folder, file],
        "config.json is damaged ('method')": ["search", empty, file],
        "a table is a file": ["refine", folder, "--out", folder],
        "not a picture": ["search", model, file],
        "no such file": ["search", model, tmp_path / "gone.jpg"],
        "a sheet is a file .png": ["search", model, "--text", "red", "--sheet", tmp_path / "sheet"],
        "an encoder is a file": ["export", model, tmp_path / "encoder.bin"],
    }
    script = (
        "import contextlib, io, sys\n"
        "from ctrh.app.cli import main\n"
        "for message, command in eval(sys.argv[1]).items():\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "        assert main(command) == 2, command\n"
        "    assert message in said.getvalue(), (message, said.getvalue())\n"
        "    assert not {'torch', 'open_clip', 'pandas', 'numba', 'sklearn'} & set(sys.modules), command\n"
    )
    plain = {message: [str(word) for word in command] for message, command in cases.items()}
    subprocess.run([sys.executable, "-c", script, repr(plain)], check=True, timeout=120)


def test_a_search_imports_what_it_needs():
    needless = {"pandas", "numba", "sklearn", "lightning_fabric", "matplotlib", "scipy.stats"}
    script = (
        "import sys, ctrh.app.words, ctrh.app.commands.search\n"
        f"assert not {needless | {'torch', 'open_clip', 'faiss'}} & set(sys.modules)\n"
        f"import ctrh.app.photo_search; assert not {needless} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_names_of_backbones_methods_and_conventions_are_those_that_there_are():
    assert set(cli.BACKBONES) == set(BACKBONES) and cli.METHODS == compared()
    assert cli.CONVENTIONS == tuple(CONVENTIONS)


def test_fit_scores_by_the_convention_asked_for(fit):
    assert fit("--method", "LSH", "--bits", 2) == 0
    ours = pd.read_csv(fit.out / "results.csv")
    way = ("--convention", "deephash-pytorch", "--ties", "stable", "--denominator", "possible")
    assert fit("--method", "LSH", "--bits", 2, *way) == 0
    theirs = pd.read_csv(fit.out / "results.csv")
    assert (ours["mAP@all"] != theirs["mAP@all"]).any()


@pytest.mark.parametrize("method", [name for name in cli.METHODS if name != "CTRH"])
def test_every_method_can_be_fitted_and_searched(method, fit, folder, capsys, tmp_path):
    assert fit("--method", method) == 0
    said = capsys.readouterr()
    results = pd.read_csv(fit.out / "results.csv")
    assert set(results.method) == {"LSH", "SH", "PCA-RR", "ITQ", method}
    best = results.method[results["mAP@all"].idxmax()]
    assert (f"fit with --method {best}" in said.err) == (best != method)
    found = load_search(fit.out)
    features = backbone_features(FileImages(folder / "images", found.names), found.backbone)
    np.testing.assert_array_equal(encode(found.hasher, features), unpack(found.index.codes, 8))
    assert "fit with --method CTRH" in failed(capsys, main(["search", str(fit.out), "--text", "red"]))
    assert main(["search", str(fit.out), str(folder / "images" / "04.png")]) == 0
    assert int(printed_rows(capsys)[0][1]) == 0
    if method in ("LSH", "SH", "PCA-RR", "ITQ"):
        assert "no network" in failed(capsys, main(["export", str(fit.out), str(tmp_path / "encoder.pt2")]))


def test_the_winner_is_named_and_without_labels_nothing_is(fit, folder, capsys):
    fit("--method", "LSH")
    (folder / "labels.csv").unlink()
    capsys.readouterr()
    assert fit("--method", "LSH") == 0
    assert "--method" not in capsys.readouterr().err and not (fit.out / "results.csv").exists()


@pytest.mark.parametrize("command", ["fit", "search", "add", "remove", "update", "export", "refine", "tag", "browse", "data openclipart"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args([*command.split(), "--help"])
    assert caught.value.code == 0 and len(capsys.readouterr().out.splitlines()) > 8


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "fly",
        "fit photos",
        "fit photos --out m --bits 0",
        "fit photos --out m --bits many",
        "search m q.jpg -k 0",
        "search m",
        "search m q.jpg --text dog",
        "search m -k 2 q.jpg r.jpg",
        "search m --text=",
        "fit photos --out m --bits 5000",
        "fit photos --out m --device gpu",
        "fit photos --out m --backbone brain",
    ]
    + ["refine photos --alpha 2", "fit photos --out m --colour red", "data", "data openclipart a b --size 1"],
)
def test_wrong_options_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2 and "usage:" in capsys.readouterr().err


def test_folders_that_do_not_fit(fit, folder, capsys, tmp_path):
    assert "nowhere is not a folder" in failed(capsys, main(["refine", str(tmp_path / "nowhere")]))
    fit.out.mkdir()
    (fit.out / "diary.txt").write_text("mine")
    assert "holds something else" in failed(capsys, fit())
    fit.out = fit.out / "diary.txt"
    assert "is a file" in failed(capsys, fit())
    fit.out = tmp_path / "fresh"
    (folder / "tags.csv").write_text("image,tags\n00.png,red, colour\n")
    assert "tags.csv, line 2: 3 cells for 2 columns" in failed(capsys, fit())
    assert not fit.out.exists()
    source = ["data", "openclipart", str(tmp_path), str(tmp_path / "clipart")]
    assert "unpack openclipart-png" in failed(capsys, main(source))


def test_unknown_networks_are_answered_with_the_known_ones(fit, capsys):
    assert "no guide 'oracle'" in failed(capsys, fit("--guide", "oracle"))
    assert not fit.out.exists()


def test_search_refuses_what_is_not_a_whole_model_of_these_weights(fit, folder, weights, capsys, tmp_path):
    query = str(folder / "images" / "00.png")
    assert "holds no complete model: make one" in failed(capsys, main(["search", str(tmp_path), query]))
    fit()
    search = ["search", str(fit.out)]
    capsys.readouterr()
    assert "no such file" in failed(capsys, main([*search, str(tmp_path / "gone.jpg")]))
    assert "not a picture" in failed(capsys, main([*search, str(folder / "tags.csv")]))
    for name in ("config.json", "ctrh.safetensors", "codes.index"):
        whole = (fit.out / name).read_bytes()
        for part in (whole[: len(whole) // 2], b""):
            (fit.out / name).write_bytes(part)
            assert str(fit.out) in failed(capsys, main([*search, query]))
        (fit.out / name).unlink()
        assert str(fit.out) in failed(capsys, main([*search, query]))
        (fit.out / name).write_bytes(whole)
    assert main([*search, query]) == 0
    (fit.out / "codes.index").rename(fit.out / "codes")
    (fit.out / "codes.index").mkdir()
    assert "codes.index is missing" in failed(capsys, main([*search, query]))
    (fit.out / "codes.index").rmdir()
    (fit.out / "codes").rename(fit.out / "codes.index")

    state = small.build().model.state_dict()
    other = tmp_path / "other.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, other)
    config = (fit.out / "config.json").read_text()
    for version, message in ((3, "newer ctrh .*: update"), (1, "older ctrh .*: fit it again")):
        (fit.out / "config.json").write_text(config.replace('"version": 2', f'"version": {version}'))
        assert re.search(message, failed(capsys, main([*search, query])))
    (fit.out / "config.json").write_text(config.replace(str(weights), str(other)))
    assert "not those that" in failed(capsys, main([*search, query]))


def test_parts_of_two_fits_are_not_searched(fit, folder, capsys):
    fit()
    index = (fit.out / "codes.index").read_bytes()
    fit("--bits", 9)
    (fit.out / "codes.index").write_bytes(index)
    capsys.readouterr()
    command = ["search", str(fit.out), str(folder / "images" / "00.png")]
    assert "codes.index is damaged or of another fit" in failed(capsys, main(command))


def test_one_fit_at_a_time_writes_to_a_folder(fit, capsys):
    with model_folder.only_writer(fit.out):
        assert "another command is writing" in failed(capsys, fit())
    (fit.out.parent / "model").mkdir()
    (fit.out / ".DS_Store").write_text("of the system")
    assert fit() == 0


@pytest.mark.parametrize("options", [("--bits", 400), ("--train", 5)])
def test_what_cannot_be_compared_does_not_cost_the_model(fit, options, capsys):
    assert fit(*options) == 0
    assert "not compared with ITQ" in capsys.readouterr().err
    assert len(load_search(fit.out).names) == 12


@pytest.mark.parametrize("labelled", [0, 1, 2])
def test_few_labels_are_no_reason_to_stop(folder, weights, labelled, tmp_path, capsys):
    rows = ["image,labels", *(f"{index:02}.png,red" for index in range(labelled))]
    (folder / "labels.csv").write_text("\n".join(rows) if labelled else "")
    if not labelled:
        (folder / "labels.csv").unlink()
    command = ["fit", str(folder), "--pretrained", str(weights), "--bits", "8", "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "model")]) == 0
    assert ("not scored" in capsys.readouterr().err) == (labelled == 1)


def test_a_full_disk_leaves_no_model_that_could_be_searched(fit, monkeypatch, capsys):
    fit()
    capsys.readouterr()

    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(model_folder, "write_json", full)
    assert "no space left" in failed(capsys, fit("--seed", 1))
    with pytest.raises(ValueError, match="no complete model"):
        load_search(fit.out)
    assert not [path for path in fit.out.iterdir() if path.name.startswith(".")]
    monkeypatch.undo()


def test_an_interrupted_fit_may_be_repeated_into_the_same_folder(fit, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ctrh.app.fitting, "save_search", interrupt)
        assert fit() == 130
    assert "interrupted: finished work is kept" in capsys.readouterr().err
    assert fit() == 0
    assert len(load_search(fit.out).names) == 12


def test_a_fault_of_the_program_shows_where_it_is(fit, monkeypatch):
    monkeypatch.setattr(ctrh.app.fitting, "features_of", lambda *args: None.shape)
    with pytest.raises(AttributeError):
        fit()


def test_a_reader_that_stops_early_is_no_error():
    script = (
        "import sys, types, ctrh.app.cli\n"
        "module = types.ModuleType('ctrh.app.commands.search')\n"
        "module.run = lambda args: print('x\\n' * 1_000_000)\n"
        "sys.modules['ctrh.app.commands.search'] = module\n"
        "sys.exit(ctrh.app.cli.main(['search', 'model', 'query']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("package", "module"),
    [("ctrh", "ctrh.app.cli"), ("ctrh", "ctrh.app.commands.refine"), ("ctrh", "numpy"), ("ctrh.paper", "numpy")],
)
def test_an_interruption_during_imports_is_one_line(package, module):
    code = f"""if True:
        import runpy, sys
        class Stop:
            def find_spec(self, name, *_):
                if name == {module!r}:
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Stop())
        sys.argv = ["ctrh", "refine", "folder"]
        runpy.run_module({package!r}, run_name="__main__")"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 130
    assert re.fullmatch(r"[Ii]nterrupted: .*(again\.?|there)", (ended.stdout + ended.stderr).strip())


@pytest.mark.parametrize("command", ["fit", "refine"])
def test_a_cache_that_is_a_file_is_said_at_the_start(tmp_path, monkeypatch, capsys, command):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CTRH_CACHE", str(tmp_path / "file"))
    assert "set CTRH_CACHE to another folder" in failed(
        capsys, main([command, str(tmp_path), "--out", str(tmp_path / "out")])
    )
