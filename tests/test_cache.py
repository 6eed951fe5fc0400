"""The bottleneck cache: what it serves is fc7 of these images, whatever happened before."""
import contextlib
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from data.lab import cache, paths
from data.lab.batches import BATCH
from data.lab.command import LabError

WEIGHTS = {"conv1": [np.zeros(3), np.zeros(1)]}
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)


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


def test_each_images_features_come_in_any_order():
    rows = cache.cached(IMAGES, WEIGHTS, features)
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(rows(order), features(IMAGES[order]))
    assert type(rows(order)) is np.ndarray


def test_a_complete_cache_needs_no_work_but_a_look():
    cache.cached(IMAGES, WEIGHTS, features)
    extract = Extract()
    cache.cached(IMAGES, WEIGHTS, extract)
    assert extract.count == 1


def assert_goes_on():
    """What two batches left is used, after a look before and one behind the lock."""
    extract = Extract()
    rows = cache.cached(IMAGES, WEIGHTS, extract)
    assert extract.count == 70 - 2 * BATCH + 2
    np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))
    assert the_file().stat().st_size == 70 * cache.ROW.itemsize


@pytest.mark.parametrize("torn", [0, 5000])
def test_interrupted_pass_goes_on_where_it_stopped(torn):
    with pytest.raises(KeyboardInterrupt):
        cache.cached(IMAGES, WEIGHTS, Extract(2 * BATCH))
    with open(the_file(), "ab") as file:
        file.write(b"x" * torn)  # what a killed run may leave of a row
    assert_goes_on()


KILLED = """
import os, signal
from test_cache import IMAGES, WEIGHTS, cache, features

def extract(batch):
    if len(batch) < 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return features(batch)

cache.cached(IMAGES, WEIGHTS, extract)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_pass_goes_on_where_it_stopped(start):
    process = start(KILLED)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert_goes_on()


@pytest.mark.parametrize("damage", ["truncate", "flip", "zeros", "foreign"])
@pytest.mark.parametrize("limit", [70, 2 * BATCH])
def test_damaged_or_foreign_rows_are_not_served(damage, limit):
    with contextlib.suppress(KeyboardInterrupt):
        cache.cached(IMAGES, WEIGHTS, Extract(limit))
    path = the_file()
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[:-20000]
    elif damage == "flip":
        content[500000] ^= 1
    elif damage == "zeros":
        content[300000:400000] = bytes(100000)
    else:
        cache.cached(IMAGES[::-1], WEIGHTS, features)
        (other,) = {*path.parent.iterdir()} - {path}
        content = other.read_bytes()
    path.write_bytes(content)
    rows = cache.cached(IMAGES, WEIGHTS, features)
    np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))


def test_a_network_that_gives_other_features_is_not_served_the_old_ones():
    cache.cached(IMAGES, WEIGHTS, features)
    rows = cache.cached(IMAGES, WEIGHTS, lambda batch: 1.01 * features(batch))
    np.testing.assert_allclose(rows(np.arange(70)), 1.01 * features(IMAGES), rtol=1e-6)
    extract = Extract()  # the same, but for rounding
    cache.cached(IMAGES, WEIGHTS, lambda batch: extract(batch) * 1.010001)
    assert extract.count == 1


def test_each_data_set_and_each_network_has_its_file():
    for images in (IMAGES, IMAGES[:50], IMAGES + np.uint8(1)):
        cache.cached(images, WEIGHTS, features)
    cache.cached(IMAGES, {"conv1": [np.ones(3), np.zeros(1)]}, features)
    assert len([*(paths.DATA / "cache").iterdir()]) == 4


def test_too_little_disk_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(LabError, match=r"1 MB are needed .* 1 MB are free"):
        cache.cached(IMAGES, WEIGHTS, lambda batch: pytest.fail("worked"))


TWO = """
from test_cache import IMAGES, WEIGHTS, cache, features, np
computed = []

def extract(batch):
    if not computed and len(batch) > 1:
        print("at work", flush=True)
        sys.stdin.readline()
    computed.extend(batch[1:])  # a look is at one
    return features(batch)

rows = cache.cached(IMAGES, WEIGHTS, extract)
print(np.array_equal(rows(np.arange(70)), features(IMAGES)), len(computed) > 0)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no shared locks")
def test_runs_at_once_share_the_work_of_the_first(start):
    first = start(TWO)
    assert first.stdout.readline() == "at work\n"
    others = [start(TWO) for _ in range(2)]
    for other in others:
        assert "another run is at work on it; waiting" in other.stderr.readline()
    assert first.communicate("go\n")[0] == "True True\n"
    for other in others:
        assert other.communicate()[0] == "True False\n" and other.returncode == 0
