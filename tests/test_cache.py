"""The bottleneck cache: what it returns is fc7 of these images, whatever happened before."""
import contextlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from data.lab import cache, paths
from data.lab.batches import BATCH
from data.lab.command import LabError

WEIGHTS = {"conv1": [np.zeros(3), np.zeros(1)]}
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)

ROW = 4096 * 4 + 4  # bytes: fc7 and a checksum


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


def test_a_complete_cache_needs_no_work_except_for_a_look():
    cache.cached(IMAGES, WEIGHTS, features)
    extract = Extract()
    cache.cached(IMAGES, WEIGHTS, extract)
    assert extract.count == 1


@pytest.mark.parametrize("torn", [0, 5000])
def test_interrupted_pass_resumes_where_it_stopped(torn):
    with pytest.raises(KeyboardInterrupt):
        cache.cached(IMAGES, WEIGHTS, Extract(2 * BATCH))
    with open(the_file(), "ab") as file:
        file.write(b"x" * torn)  # what a killed run may leave of a row
    extract = Extract()
    rows = cache.cached(IMAGES, WEIGHTS, extract)
    assert extract.count == 70 - 2 * BATCH + 1  # and a look at the last row
    np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))
    assert the_file().stat().st_size == 70 * ROW


def test_each_batch_is_on_disk_before_the_next():
    """So a run that is killed loses no more than one batch."""
    sizes = []

    def extract(batch):
        sizes.append(the_file().stat().st_size // ROW)
        return features(batch)

    cache.cached(IMAGES, WEIGHTS, extract)
    assert sizes == [0, BATCH, 2 * BATCH]


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
    extract = Extract()  # the same, except for rounding
    cache.cached(IMAGES, WEIGHTS, lambda batch: extract(batch) * 1.010001)
    assert extract.count == 1


def test_rows_of_another_network_never_mix_with_the_old_ones():
    """As when a student changes the resizing, stops the run, and changes it back."""

    def changed(batch):
        if len(batch) == 6:  # the last
            raise KeyboardInterrupt
        return 2 * features(batch)

    cache.cached(IMAGES, WEIGHTS, features)
    with pytest.raises(KeyboardInterrupt):
        cache.cached(IMAGES, WEIGHTS, changed)
    rows = cache.cached(IMAGES, WEIGHTS, features)
    np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))


def test_a_run_keeps_its_rows_when_another_network_starts_again():
    def extract(batch):
        if len(batch) == 6:
            cache.cached(IMAGES, WEIGHTS, lambda batch: 2 * features(batch))
        return features(batch)

    rows = cache.cached(IMAGES, WEIGHTS, extract)
    np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))


def test_each_data_set_and_each_network_has_its_file():
    for images in (IMAGES, IMAGES[:50], IMAGES + np.uint8(1)):
        cache.cached(images, WEIGHTS, features)
    cache.cached(IMAGES, {"conv1": [np.ones(3), np.zeros(1)]}, features)
    assert len([*(paths.DATA / "cache").iterdir()]) == 4


def test_too_little_disk_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(LabError, match=r"not enough disk space .* 1 MB needed, 1 MB free"):
        cache.cached(IMAGES, WEIGHTS, lambda batch: pytest.fail("worked"))


@pytest.mark.parametrize("done", [0, BATCH])
def test_two_runs_at_once_both_have_the_right_features(done):
    """Without locks: in the middle of one run's work, the other does all of it."""
    with contextlib.suppress(KeyboardInterrupt):
        cache.cached(IMAGES, WEIGHTS, Extract(done))
    others = []

    def extract(batch):
        if len(batch) > 1 and not others:
            others.append(None)
            others.append(cache.cached(IMAGES, WEIGHTS, features))
        return features(batch)

    for rows in (cache.cached(IMAGES, WEIGHTS, extract), others[1]):
        np.testing.assert_array_equal(rows(np.arange(70)), features(IMAGES))
    assert the_file().stat().st_size == 70 * ROW
