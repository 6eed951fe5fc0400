"""Finding and writing files: nothing half-written, nothing lost, nothing left behind."""
import errno
import os
import signal
from unittest.mock import MagicMock

import pytest

from data.lab import paths
from data.lab.command import LabError


def test_real_files_are_found_beside_the_scripts_first(lab):
    assert paths.find_real("stop.jpg") is None
    for folder in (paths.DATA, lab):
        (folder / "stop.jpg").write_bytes(b"real")
        assert paths.find_real("stop.jpg") == folder / "stop.jpg"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError), paths.atomic_write(path) as file:
        file.write(b"new")
        raise ValueError
    assert path.read_bytes() == b"old"
    with paths.atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_file_and_cure(tmp_path):
    with pytest.raises(LabError, match=r"file: the disk is full; free some space"):
        with paths.atomic_write(tmp_path / "file"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_special_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LabError, match="pipe: is not an ordinary file"):
        with paths.atomic_write(tmp_path / "pipe"):
            pytest.fail("opened")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    with paths.atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "disk" / "file").read_bytes() == b"new"


WRITER = """
from data.lab.paths import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"x" * 100000)
    file.flush()
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_writer_left_is_cleared_and_a_living_ones_stays(tmp_path, start):
    path = tmp_path / "file [b]"
    killed, living = start(WRITER, path), start(WRITER, path)
    assert killed.stdout.readline() == living.stdout.readline() == "written\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    with paths.atomic_write(path) as file:
        file.write(b"mine")
    assert len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == b"mine"
    living.communicate("go\n")
    assert living.returncode == 0
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_size == 100000


def test_where_there_are_no_locks_nobodys_file_is_taken_for_a_dead_ones(tmp_path, monkeypatch):
    no_locks = MagicMock()
    no_locks.flock.side_effect = OSError(errno.ENOLCK, "no locks")
    monkeypatch.setattr(paths, "fcntl", no_locks)
    with paths.atomic_write(tmp_path / "file") as file:
        with paths.atomic_write(tmp_path / "file"):
            pass
        file.write(b"mine")
    assert (tmp_path / "file").read_bytes() == b"mine"
