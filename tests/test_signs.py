"""Drawn signs: of the schema of GTSRB's train.p, and all different."""
import numpy as np
import pytest
from PIL import Image

from data.lab.standin import __main__ as command
from data.lab.standin import signs


@pytest.mark.parametrize("class_id", range(43))
def test_sign_is_transparent_outside_its_plate(class_id):
    sign = signs.draw_sign(class_id, 40)
    assert sign.shape == (40, 40, 4) and sign.dtype == np.uint8
    assert not sign[[0, 0, -1, -1], [0, -1, 0, -1], 3].any() and sign[20, 20, 3] == 255
    for edge in (sign[:, :4], sign[:, -4:], sign[:4], sign[-6:]):
        assert edge[..., 3].any()  # the plate fills the square


def test_every_sign_is_drawn_differently():
    drawn = np.array([signs.draw_sign(c, 32).astype(float) for c in range(43)]).reshape(43, -1)
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
    assert signs.SIGNS[14][-1][2] == "STOP"


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


def test_same_seed_gives_same_bytes():
    first, again = (signs.make_dataset(tracks_per_class=1, seed=3) for _ in range(2))
    assert all((first[key] == again[key]).all() for key in first)
    other = signs.make_dataset(tracks_per_class=1, seed=4)
    assert (first["features"] != other["features"]).mean() > 0.5


def test_first_tracks_do_not_depend_on_their_number(dataset):
    one = signs.make_dataset(tracks_per_class=1)
    for key in one:
        two = dataset[key].reshape(43, 2, 30, *dataset[key].shape[1:])
        assert (one[key] == two[:, 0].reshape(one[key].shape)).all()


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
    drawn = np.array([signs.draw_sign(c, 24) for c in range(43)]).astype(float)
    colors, opacities = drawn[..., :3], drawn[..., 3:] / 255
    patterns = [plate_pattern(*pair) for pair in zip(colors, opacities)]
    nearest = dataset["features"][29::30, 4:28, 4:28].astype(float)  # each track's last frame
    guesses = [np.argmax([plate_pattern(image, opacity) @ pattern
                          for opacity, pattern in zip(opacities, patterns)]) for image in nearest]
    assert (guesses == dataset["labels"][29::30]).mean() > 0.3  # 0.02 by chance


def test_pictures():
    pictures = signs.make_pictures()
    assert {name: picture.shape for name, picture in pictures.items()} == {
        "construction.jpg": (32, 32, 3), "stop.jpg": (32, 32, 3),
        "poodle.png": (227, 227, 4), "weasel.png": (227, 227, 4),
    }
    assert all(picture.dtype == np.uint8 for picture in pictures.values())
    assert all((pictures[name][..., 3] == 255).all() for name in ("poodle.png", "weasel.png"))
    red, green, blue = pictures["stop.jpg"][6:10, 12:20].reshape(-1, 3).mean(axis=0)
    assert red > 150 and green < 60 and blue < 60


def test_contact_sheet(tmp_path, run_main):
    run_main(command, "--sheet", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size < 200_000
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 800 and len(image.convert("RGB").getcolors()) > 30
