"""Results on disk: whole or not at all, and named by all they depend on."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import psutil
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ctrh.store import (
    DamagedCache,
    cache_dir,
    cached_arrays,
    cached_map,
    cached_rows,
    content_key,
    discard,
    intact,
    prepare_folder,
    replacing,
    stored_path,
    storing,
)


@dataclass(frozen=True)
class Config:
    rate: float = 0.1
    words: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True)
class Other:
    rate: float = 0.1
    words: tuple[str, ...] = ("a", "b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values)
def test_equal_content_has_one_name_and_other_content_another(one, other):
    same = one == other and repr(one) == repr(other)  # True == 1, but they are different settings
    if same:
        assert content_key(one) == content_key(other)
    elif one != other:
        assert content_key(one) != content_key(other)
    assert len(content_key(one)) == 16


def test_the_name_sees_types_shapes_and_borders():
    zeros = np.zeros(4)
    assert content_key(Config()) == content_key(Config()) != content_key(Other())
    assert content_key(Config(0.2)) != content_key(Config())
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key(zeros) != content_key(zeros.reshape(2, 2)) != content_key(zeros.astype(np.float32))
    assert content_key(zeros[::2]) == content_key(np.zeros(2))


def test_the_name_of_a_sparse_matrix_is_that_of_its_content():
    twice = sp.coo_array(([1, 1], ([0, 0], [1, 1])), shape=(2, 3))
    once = sp.csr_array(([2], ([0], [1])), shape=(2, 3))
    assert content_key(twice) == content_key(once) != content_key(sp.csr_array((2, 3), dtype=np.int64))


def test_what_has_no_plain_content_is_refused():
    with pytest.raises(TypeError, match="configuration"):
        content_key(object())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "result.txt"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt" and not path.exists()
        temporary.write_text("old")
    for failure in (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(failure)), replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise failure
    assert path.read_text() == "old"
    assert [child.name for child in path.parent.iterdir()] == ["result.txt"]
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_results_are_computed_once_and_a_damaged_file_again():
    calls = []

    def compute():
        calls.append(1)
        return {"codes": np.arange(5), "name": np.asarray("ctrh")}

    first = cached_arrays("test", "k", compute)
    again = cached_arrays("test", "k", compute)
    np.testing.assert_array_equal(first["codes"], again["codes"])
    assert str(again["name"]) == "ctrh" and len(calls) == 1
    path = cache_dir() / "test" / "k.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(np.arange(5).tobytes())] ^= 1  # zip's own checksum would see it, an array in a map would not
    foreign = io.BytesIO()
    np.savez(foreign, codes=np.arange(6))
    for damaged in (whole[:40], whole[: len(whole) // 2], b"", bytes(flipped), foreign.getvalue()):
        path.write_bytes(damaged)
        with pytest.warns(DamagedCache, match="k.npz is not what was written: it is made again"):
            np.testing.assert_array_equal(cached_arrays("test", "k", compute)["codes"], np.arange(5))
    assert len(calls) == 6


def test_a_file_without_its_checksum_or_under_another_name_is_not_believed(tmp_path):
    path, other = tmp_path / "a.pt", tmp_path / "b.pt"
    with storing(path) as temporary:
        temporary.write_text("a")
    assert intact(path) and not intact(other)
    for name in ("{}", "{}.sha256"):
        shutil.copy(name.format(path), name.format(other))
    with pytest.warns(DamagedCache, match="b.pt"):
        assert not intact(other)
    discard(path)
    assert {left.name for left in tmp_path.iterdir()} == {"b.pt", "b.pt.sha256"}
    path.write_text("a")
    with pytest.warns(DamagedCache, match="a.pt"):
        assert not intact(path)


@pytest.mark.parametrize("moment", range(3))
def test_killed_at_any_moment_the_old_file_or_the_new_is_proved(tmp_path, monkeypatch, moment):
    path = tmp_path / "state.pt"
    with storing(path) as temporary:
        temporary.write_text("old")
    replace, left = os.replace, moment

    def killed(*paths):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        replace(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with contextlib.suppress(KeyboardInterrupt), storing(path) as temporary:
        temporary.write_text("new")
    monkeypatch.undo()
    assert intact(path) and path.read_text() == ("new" if moment == 2 else "old")


def test_a_map_is_written_row_by_row_and_a_flipped_byte_in_it_is_seen(tmp_path):
    path, pictures = tmp_path / "pixels.npy", np.random.default_rng(0).integers(0, 256, (5, 2, 3), np.uint8)
    np.testing.assert_array_equal(cached_map(path, 5, lambda: iter(pictures)), pictures)
    np.testing.assert_array_equal(cached_map(path, 5, lambda: pytest.fail("made twice")), pictures)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.warns(DamagedCache, match="pixels.npy"):
        np.testing.assert_array_equal(cached_map(path, 5, lambda: pictures), pictures)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "odd"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_is_named_whatever_a_library_makes_of_it(tmp_path, monkeypatch, error):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(OSError, match="No space left on device") as caught, replacing(tmp_path / "x.pt"):
        raise error
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "x.pt")
    monkeypatch.undo()  # safetensors takes its file away before anybody can look
    with pytest.raises(OSError, match="x.pt"), replacing(tmp_path / "x.pt"):
        raise ValueError(f"while serialising: {os.strerror(errno.ENOSPC)} (os error 28)")
    assert not list(tmp_path.iterdir())


def test_what_dead_processes_left_is_swept_and_a_folder_that_cannot_be_written_is_told(tmp_path):
    code = f"""if True:
        import os, pathlib
        from ctrh.store import replacing, unfinished
        with replacing(pathlib.Path({str(tmp_path)!r}, "deep", "x.npz")):
            os._exit(9)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    (dead,) = (tmp_path / "deep").iterdir()
    folder = tmp_path / "deep" / f"{dead.name}-folder"
    (folder / "notebooks" / dead.name).mkdir(parents=True)
    with replacing(tmp_path / "deep" / "alive.npz") as alive:
        prepare_folder(tmp_path, "choose another")
        assert alive.exists() and not dead.exists() and not folder.exists()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="nothing can be written to .*file .*: choose another"):
        prepare_folder(tmp_path / "file", "choose another")


def test_an_interrupted_computation_leaves_nothing(monkeypatch):
    def compute():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_arrays("test", "k", compute)
    assert not (cache_dir() / "test" / "k.npz").exists()


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=6), st.integers(1, 7))
def test_rows_are_computed_once_whatever_is_asked_for_together(asked, at_once):
    computed = []

    def compute(rows):
        computed.extend(rows.tolist())
        return {"square": rows**2, "pair": np.stack([rows, -rows], axis=1).astype(np.float32)}

    key = content_key("rows", asked, at_once)
    stored_path("rows", key).unlink(missing_ok=True)
    for rows in asked:
        rows = np.array(rows, dtype=np.int64)
        found = cached_rows("rows", key, rows, compute, at_once)
        np.testing.assert_array_equal(found["square"], rows**2)
        np.testing.assert_array_equal(found["pair"], np.stack([rows, -rows], axis=1))
    assert sorted(computed) == sorted({row for rows in asked for row in rows})


def test_an_interrupted_computation_of_rows_keeps_its_chunks(tmp_path):
    computed = []

    def compute(rows):
        if 7 in rows and len(computed) < 7:
            raise KeyboardInterrupt
        computed.extend(rows.tolist())
        return {"square": rows**2}

    with pytest.raises(KeyboardInterrupt):
        cached_rows("rows", "interrupted", np.arange(9), compute, at_once=3)
    assert computed == [0, 1, 2, 3, 4, 5]
    computed += [None]  # from here on 7 is no trouble
    assert cached_rows("rows", "interrupted", np.arange(9), compute, at_once=3)["square"][7] == 49
    assert computed == [0, 1, 2, 3, 4, 5, None, 6, 7, 8]


def test_workers_end_with_a_parent_that_is_killed():
    code = """if True:
        import os, signal, time
        from concurrent.futures import ProcessPoolExecutor
        from ctrh.workers import end_with_parent
        with ProcessPoolExecutor(2, initializer=end_with_parent) as pool:
            print(*{pool.submit(os.getpid).result() for _ in range(9)}, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)"""
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(pid)) for pid in killed.stdout.split() if psutil.pid_exists(int(pid))]
    psutil.wait_procs(workers, timeout=20)
    assert killed.stdout and not any(worker.is_running() for worker in workers)


def test_what_two_want_at_once_is_computed_once():
    computed, results = [], []
    started = threading.Event()

    def compute():
        started.set()
        computed.append(1)
        time.sleep(0.3)
        return {"x": np.arange(3)}

    def want():
        results.append(cached_arrays("things", "key", compute)["x"].tolist())

    first = threading.Thread(target=want)
    first.start()
    started.wait(10)
    want()
    first.join()
    assert results == [[0, 1, 2]] * 2 and computed == [1]
    assert sorted(path.name for path in (cache_dir() / "things").iterdir()) == ["key.npz", "key.npz.sha256"]


def test_a_failure_lets_the_next_one_try():
    with pytest.raises(ZeroDivisionError):
        cached_arrays("things", "key", lambda: {"x": np.array(1 / 0)})
    assert cached_arrays("things", "key", lambda: {"x": np.array(1)})["x"] == 1
