"""Pictures in, names out: what both inference scripts and the training share."""
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.lab.command import LabError, path, printable

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
SETTINGS = (  # of both inference scripts
    ("pictures", path, None, "pictures of any size"),
    ("--weights", path, None, "a weights file (default: bvlc-alexnet.npy)"),
    ("--look", bool, None, "draw what the network sees, into data/runs/"),
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")
PIXELS = 50_000_000  # of a picture; decoding takes about 10 bytes each
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns before it refuses


def read_picture(path, size):
    """The picture at `path` as uint8 RGB (size, size, 3), 0 to 255.

    Any of FORMATS. A picture of another size is resized whole to size x size, as BVLC's
    training pictures and GTSRB's signs were. Where it is transparent it lies on white.
    Raises LabError when it cannot be read or has more than PIXELS pixels.
    """
    if not Path(path).is_file():
        wrong = "is not a file" if Path(path).exists() else "there is no such file"
        raise LabError(f"{path}: {wrong}; check the path of the picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture with an odd header is read all the same
            picture = decode(path)
    except LabError:
        raise
    except Exception as error:  # each format has errors of its own
        raise LabError(
            f"{path}: is not a picture that can be read ({type(error).__name__}); "
            "give a PNG, JPEG, BMP, GIF or WebP file"
        ) from None
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def read_pictures(paths, size):
    """The pictures at `paths` as uint8 RGB (N, size, size, 3)."""
    pictures = [read_picture(path, size) for path in paths]
    return np.array(pictures, np.uint8).reshape(-1, size, size, 3)


def decode(path):
    """The picture at `path` in Pillow's mode RGBA, turned as its EXIF data says."""
    with Image.open(path, formats=FORMATS) as picture:  # decodes nothing yet
        width, height = picture.size
        if width * height > PIXELS:
            raise LabError(f"{path}: has {width} x {height} pixels, more than {PIXELS / 1e6:.0f} "
                           "million; make it smaller")
        clear = picture.info.get("transparency")
        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ValueError("pixels that are no whole numbers")
    if picture.mode[0] != "I":
        return picture.convert("RGBA")
    pixels = np.asarray(picture)  # of 16 bits, which Pillow would clip to 8
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels of more than 16 bits")
    picture = Image.fromarray((pixels / 65535 * 255).round().astype(np.uint8)).convert("RGBA")
    if clear is not None:  # the grey that is transparent
        picture.putalpha(Image.fromarray(np.uint8(255) * (pixels != clear)))
    return picture


def preprocess(images):
    """float32 (N, height, width, 3): each image (0 to 255) minus its own scalar mean."""
    images = np.asarray(images)
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    return (images - mean).astype(np.float32)


def print_top5(probs, names, pictures=None):
    """Print the five most probable names for each image, in the course's form.

    probs: (n, classes) of each batch; names: one for each class; pictures: the user's own,
    whose paths are printed behind `Image i`.
    """
    for i, p in enumerate(np.concatenate(probs)):
        print(f"Image {i}" + (f": {printable(pictures[i])}" if pictures else ""))
        for index in np.argsort(-p, kind="stable")[:5]:
            print(f"{names[index]}: {p[index]:.3f}")
        print()
