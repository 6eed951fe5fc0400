"""Finding and writing files: nothing half-written, nothing lost, nothing left behind."""
import errno
import os
import subprocess
import sys
import time

import pytest
from conftest import LAB

from data.lab import cache, paths
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


def test_a_report_full_disk_with_file_and_cure(tmp_path):
    with pytest.raises(LabError, match=r"file: the disk is full; free some space"):
        with paths.atomic_write(tmp_path / "file"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_special_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LabError, match="pipe: exists but is not a regular file"):
        with paths.atomic_write(tmp_path / "pipe"):
            pytest.fail("opened")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(os.name == "nt", reason="links need permissions on Windows")
def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    with paths.atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "disk" / "file").read_bytes() == b"new"


def test_temporary_files_of_killed_writers_are_deleted_after_a_day(tmp_path):
    path, day = tmp_path / "file [b]", 24 * 60 * 60
    for name, age in ((".file [b].1234.tmp", day + 9), (".file [b].5678.tmp", 9)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with paths.atomic_write(path) as file:
        file.write(b"mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".file [b].5678.tmp", "file [b]"]


def test_two_writers_at_once_both_end_well(tmp_path):
    with paths.atomic_write(tmp_path / "file") as one:
        with paths.atomic_write(tmp_path / "file") as other:
            other.write(b"other")
        one.write(b"one")
    assert (tmp_path / "file").read_bytes() == b"one" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="links need permissions on Windows")
@pytest.mark.parametrize("name, make", [
    ("runs", paths.new_run), ("cache", lambda: cache.fill("a", "b", ("u1", ()), 1, None, ""))])
def test_a_folder_on_a_disk_that_is_not_mounted_is_an_error(lab, name, make):
    (paths.DATA / name).symlink_to(lab / "not mounted" / name)
    with pytest.raises(LabError, match=f"{name}: cannot create this folder .*set LAB_DATA to"):
        make()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_lab_says_what_to_do(lab):
    (paths.DATA / "runs").mkdir()
    (paths.DATA / "runs").chmod(0o500)
    with pytest.raises(LabError, match="Permission denied.; .* set LAB_DATA to a folder of your"):
        paths.new_run()


def test_results_may_go_elsewhere(tmp_path):
    """LAB_DATA: files are found in the lab, results are written to the folder of one's own."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); from data.lab import paths, standin\n" \
           "print(paths.find_real('README.md'), paths.new_run(), standin.find('stop.jpg'))"
    ran = subprocess.run([sys.executable, "-c", code, LAB], capture_output=True, text=True,
                         cwd=tmp_path, env={**os.environ, "LAB_DATA": str(tmp_path)}, check=True)
    found, run, made = ran.stdout.split()
    assert found == f"{LAB}/README.md" and run.startswith(f"{tmp_path}/runs/")
    assert made.endswith("/stop.jpg")


def test_runs_of_one_second_have_a_folder_each():
    assert len({paths.new_run() for _ in range(3)}) == 3
