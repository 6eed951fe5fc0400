"""The bottleneck cache: what it serves is fc7 of these images, whatever happened before."""
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAB

from data.lab import cache, paths
from data.lab.batches import BATCH
from data.lab.command import LabError

WEIGHTS = {"conv1": [np.zeros(3), np.zeros(1)]}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3)).astype(np.uint8)


def features(batch):
    """Features that tell which image they are of."""
    return np.repeat(batch.reshape(len(batch), -1).sum(axis=1, dtype="f4")[:, None], 4096, 1)


class Extract:
    """features(), counting the images; raises KeyboardInterrupt after `limit` of them."""

    def __init__(self, limit=float("inf")):
        self.count, self.limit = 0, limit

    def __call__(self, batch):
        if self.count >= self.limit:
            raise KeyboardInterrupt
        self.count += len(batch)
        return features(batch)


def the_file():
    (path,) = (paths.DATA / "cache").iterdir()
    return path


def test_each_images_features_come_in_any_order(images):
    rows = cache.cached(images, WEIGHTS, features)
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(rows(order), features(images[order]))
    assert type(rows(order)) is np.ndarray


def test_a_complete_cache_needs_no_work_but_a_look(images):
    cache.cached(images, WEIGHTS, features)
    extract = Extract()
    cache.cached(images, WEIGHTS, extract)
    assert extract.count == 1


@pytest.mark.parametrize("torn", [0, 5000])
def test_interrupted_pass_goes_on_where_it_stopped(images, torn):
    with pytest.raises(KeyboardInterrupt):
        cache.cached(images, WEIGHTS, Extract(2 * BATCH))
    with open(the_file(), "ab") as file:
        file.write(b"x" * torn)  # what a killed run may leave of a row
    extract = Extract()
    rows = cache.cached(images, WEIGHTS, extract)
    assert extract.count == 70 - 2 * BATCH + 2  # and a look before and after the lock
    np.testing.assert_array_equal(rows(np.arange(70)), features(images))
    assert the_file().stat().st_size == 70 * cache.ROW.itemsize


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from data.lab import cache, paths
import test_cache
paths.DATA = Path(sys.argv[1])
paths.LAB = paths.DATA.parent

def extract(batch):
    if len(batch) < 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return test_cache.features(batch)

cache.cached(np.load(sys.argv[2]), test_cache.WEIGHTS, extract)
"""


def run(tmp_path, images, code):
    np.save(tmp_path / "images.npy", images)
    return subprocess.Popen([sys.executable, "-c", code, paths.DATA, tmp_path / "images.npy"],
                            env={**os.environ, "PYTHONPATH": f"{LAB}{os.pathsep}{LAB / 'tests'}"},
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_pass_goes_on_where_it_stopped(images, tmp_path):
    process = run(tmp_path, images, KILLED)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    extract = Extract()
    rows = cache.cached(images, WEIGHTS, extract)
    assert extract.count == 70 - 2 * BATCH + 2
    np.testing.assert_array_equal(rows(np.arange(70)), features(images))


@pytest.mark.parametrize("damage", ["truncate", "flip", "zeros", "foreign"])
@pytest.mark.parametrize("complete", [True, False])
def test_damaged_or_foreign_rows_are_not_served(images, damage, complete):
    if complete:
        cache.cached(images, WEIGHTS, features)
    else:
        with pytest.raises(KeyboardInterrupt):
            cache.cached(images, WEIGHTS, Extract(2 * BATCH))
    path = the_file()
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[:-20000]
    elif damage == "flip":
        content[500000] ^= 1
    elif damage == "zeros":
        content[300000:400000] = bytes(100000)
    else:
        cache.cached(images[::-1], WEIGHTS, features)
        (other,) = {*path.parent.iterdir()} - {path}
        content = other.read_bytes()
        other.unlink()
    path.write_bytes(content)
    rows = cache.cached(images, WEIGHTS, features)
    np.testing.assert_array_equal(rows(np.arange(70)), features(images))


def test_a_network_that_gives_other_features_is_not_served_the_old_ones(images):
    cache.cached(images, WEIGHTS, features)
    rows = cache.cached(images, WEIGHTS, lambda batch: 1.01 * features(batch))
    np.testing.assert_allclose(rows(np.arange(70)), 1.01 * features(images), rtol=1e-6)
    extract = Extract()  # the same, but for rounding
    cache.cached(images, WEIGHTS, lambda batch: extract(batch) * 1.010001)
    assert extract.count == 1


def test_each_data_set_and_each_network_has_its_file(images):
    for data, weights in ((images, WEIGHTS), (images[:50], WEIGHTS), (images + np.uint8(1), WEIGHTS),
                          (images, {"conv1": [np.ones(3), np.zeros(1)]})):
        cache.cached(data, weights, features)
    assert len([*(paths.DATA / "cache").iterdir()]) == 4


def test_too_little_disk_is_told_before_the_work(images, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(LabError, match=r"1 MB are needed .* 1 MB are free"):
        cache.cached(images, WEIGHTS, lambda batch: pytest.fail("worked"))


TWO = """
import sys
import numpy as np
from pathlib import Path
from data.lab import cache, paths
import test_cache
paths.DATA = Path(sys.argv[1])
paths.LAB = paths.DATA.parent
computed = 0

def extract(batch):
    global computed
    if computed == 0 and len(batch) > 1:
        print("at work", flush=True)
        sys.stdin.readline()
    computed += len(batch) > 1
    return test_cache.features(batch)

images = np.load(sys.argv[2])
rows = cache.cached(images, test_cache.WEIGHTS, extract)
print(np.array_equal(rows(np.arange(70)), test_cache.features(images)), computed > 0)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no shared locks")
def test_runs_at_once_share_the_work_of_the_first(images, tmp_path):
    first = run(tmp_path, images, TWO)
    assert first.stdout.readline() == "at work\n"
    others = [run(tmp_path, images, TWO) for _ in range(2)]
    for other in others:
        assert "another run is at work on it; waiting" in other.stderr.readline()
    assert first.communicate("go\n")[0] == "True True\n"
    for other in others:
        assert other.communicate()[0] == "True False\n" and other.returncode == 0
