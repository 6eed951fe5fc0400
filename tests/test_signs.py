"""Synthetic files: signs with the schema of GTSRB's train.p, all different, and their versions."""
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import LAB
from PIL import Image

from data.lab import paths, standin
from data.lab.command import LabError
from data.lab.standin import __main__ as command
from data.lab.standin import signs


def test_signs_are_transparent_outside_their_plates_and_all_different():
    for sign in signs.SIGNS:
        assert sign.shape == (64, 64, 4) and sign.dtype == np.uint8
        assert not sign[[0, 0, -1, -1], [0, -1, 0, -1], 3].any() and sign[32, 32, 3] == 255
        for edge in (sign[:, :7], sign[:, -7:], sign[:7], sign[-10:]):
            assert edge[..., 3].any()  # the plate fills the square
    drawn = signs.SIGNS.reshape(43, -1).astype(float)
    distances = np.sqrt(((drawn[:, None] - drawn) ** 2).mean(axis=2))
    assert distances[~np.eye(43, dtype=bool)].min() > 8


def test_schema(dataset):
    n = 43 * 2 * 30
    assert {key: (array.dtype.name, array.shape) for key, array in dataset.items()} == {
        "features": ("uint8", (n, 32, 32, 3)),
        "labels": ("uint8", (n,)),
        "sizes": ("uint16", (n, 2)),
        "coords": ("uint16", (n, 4)),
    }
    assert dataset["labels"].tolist() == [c for c in range(43) for _ in range(60)]


def test_sign_lies_inside_the_frame_and_the_camera_approaches(dataset):
    sizes, coords = (dataset[key].astype(int) for key in ("sizes", "coords"))
    assert sizes.min() >= 25 and sizes.max() <= 243
    assert (coords[:, :2] < coords[:, 2:]).all() and (coords[:, 2:] < sizes).all()
    widths = sizes[:, 0].reshape(-1, 30)
    assert (np.diff(widths) >= 0).all() and (widths[:, -1] > 1.3 * widths[:, 0]).all()


def test_coords_hold_the_sign():
    # class 17: what is red is the plate; the plate fills its box
    sizes, boxes = signs.make_frames(np.random.default_rng(0))
    opaque = signs.project_sign(np.random.default_rng(3), 17, sizes, boxes)[..., 3] > 0.5
    for mask, box in zip(opaque, boxes / np.tile(sizes, 2) * 32):
        columns = np.flatnonzero(mask.any(axis=0))
        found = columns[0], np.flatnonzero(mask.any(axis=1))[0], columns[-1] + 1
        assert np.abs(np.array(found) - box[:3]).max() < 3


def test_same_seed_gives_same_bytes_for_any_number_of_tracks(dataset):
    one = signs.make_dataset(tracks_per_class=1)
    for key in one:
        two = dataset[key].reshape(43, 2, 30, *dataset[key].shape[1:])
        assert (one[key] == two[:, 0].reshape(one[key].shape)).all()
    other = signs.make_dataset(tracks_per_class=1, seed=4)
    assert (one["features"] != other["features"]).mean() > 0.5


def test_frames_change_slowly_and_tracks_differ(dataset):
    tracks = dataset["features"].reshape(86, 30, -1).astype(float)
    steps = np.abs(np.diff(tracks, axis=1)).mean(axis=(1, 2))
    jumps = np.abs(tracks[::2, -1] - tracks[1::2, 0]).mean(axis=1)  # the same sign twice
    assert 0 < steps.min() and np.median(jumps) > 8 * np.median(steps)


def test_light_varies_like_in_photographs(dataset):
    means = dataset["features"].mean(axis=(1, 2, 3))
    assert 60 < means.mean() < 110
    assert np.percentile(means, 10) < 40 and np.percentile(means, 90) > 140


def plate_pattern(image, opacity):
    """What is on the plate, less its mean colour, of unit length: (size * size * 3,)."""
    pattern = (image - (image * opacity).sum(axis=(0, 1)) / opacity.sum()) * opacity
    return pattern.ravel() / (np.linalg.norm(pattern) + 1e-9)


def test_classes_can_be_told_apart_in_the_dataset(dataset):
    drawn = np.array([Image.fromarray(sign).resize((24, 24)) for sign in signs.SIGNS]).astype(float)
    colors, opacities = drawn[..., :3], drawn[..., 3:] / 255
    patterns = [plate_pattern(*pair) for pair in zip(colors, opacities)]
    nearest = dataset["features"][29::30, 4:28, 4:28].astype(float)  # each track's last frame
    guesses = [np.argmax([plate_pattern(image, opacity) @ pattern
                          for opacity, pattern in zip(opacities, patterns)]) for image in nearest]
    assert (guesses == dataset["labels"][29::30]).mean() > 0.3  # 0.02 by chance


def test_pictures():
    for name, mode, side in (("construction.jpg", "RGB", 32), ("stop.jpg", "RGB", 32),
                             ("poodle.png", "RGBA", 227), ("weasel.png", "RGBA", 227)):
        with Image.open(standin.find(name)) as image:
            assert (image.mode, image.size) == (mode, (side, side))
            assert image.getextrema()[3:] in ((), ((255, 255),))  # opaque
    stop = np.asarray(Image.open(standin.find("stop.jpg")))
    red, green, blue = stop[6:10, 12:20].reshape(-1, 3).mean(axis=0)
    assert red > 150 and green < 60 and blue < 60


def test_a_new_version_of_the_lab_uses_new_files(tmp_path):
    """What an earlier version made stays out of use; the checksum is of all that makes them."""
    shutil.copytree(LAB / "data" / "lab", tmp_path / "data" / "lab")
    sources = tmp_path / "data" / "lab" / "standin"
    code = "import sys; from data.lab.standin import find; print(find(sys.argv[1]))"

    def find(name):
        ran = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, text=True,
                             capture_output=True, check=True)
        return tmp_path / ran.stdout.strip()

    paths = [find("stop.jpg"), find("stop.jpg")]
    assert paths[0] == paths[1]
    for source in "signs.py", "signs.png", "weights.py", "pictures/stop.jpg":
        (sources / source).write_bytes((sources / source).read_bytes() + b"\n")
        paths.append(find("stop.jpg"))
    assert len(set(paths)) == 5
    assert paths[-1].read_bytes() == paths[0].read_bytes() + b"\n"


def test_two_that_make_a_file_at_once_both_end_well(monkeypatch):
    (paths.DATA / "standin").unlink()
    write, others = standin.write, []

    def write_late(name, file):
        monkeypatch.setattr(standin, "write", write)
        others.append(standin.find(name).read_bytes())  # another process makes it meanwhile
        write(name, file)

    monkeypatch.setattr(standin, "write", write_late)
    path = standin.find("stop.jpg")
    assert [path.read_bytes()] == others and list(path.parent.iterdir()) == [path]


def test_a_folder_of_classes(tmp_path, run_main):
    run_main(command, tmp_path / "signs", "--classes", 3)
    folders = sorted((tmp_path / "signs").iterdir())
    assert [folder.name for folder in folders] == [
        "Children crossing", "End of no passing by vehicles over 3.5 metric tons", "Stop"]
    frames = [f"{track:05}_{frame:05}.png" for track in range(4) for frame in range(30)]
    assert sorted(file.name for file in folders[2].iterdir()) == frames
    image = np.asarray(Image.open(folders[2] / "00001_00007.png"))
    assert (image == signs.make_track(14, np.random.default_rng([0, 14, 1]))[0][7]).all()


@pytest.mark.parametrize("arguments, message", [
    ([], "name a folder to write"), (["signs", "--classes", "44"], "from 2 to 43")])
def test_without_a_folder_or_with_too_many_classes(run_main, arguments, message):
    with pytest.raises(LabError, match=message):
        run_main(command, *arguments)
