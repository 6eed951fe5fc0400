"""Pictures in, names out: what both inference scripts and the training share."""
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from data.files import LabError


def read_picture(path, size):
    """The picture at `path` as uint8 RGB (size, size, 3), 0 to 255.

    Any format that Pillow reads. A picture of another size is squeezed whole to
    size x size, as BVLC's training pictures and GTSRB's signs were. Where it is
    transparent it lies on white. Raises LabError when it cannot be read.
    """
    if not Path(path).is_file():
        wrong = "is not a file" if Path(path).exists() else "there is no such file"
        raise LabError(f"{path}: {wrong}; check the path of the picture")
    try:
        picture = iio.imread(path, plugin="pillow", index=0, rotate=True)
        if picture.dtype in (np.uint16, np.int32):  # 16 bits, which Pillow would clip to 8
            grey = Image.fromarray((picture / 65535 * 255).round().astype(np.uint8))
            picture = grey.convert("RGBA")
        elif picture.dtype in (np.uint8, bool):
            # Read anew: the array alone does not tell CMYK from RGBA.
            picture = iio.imread(path, plugin="pillow", index=0, rotate=True, mode="RGBA")
            picture = Image.fromarray(picture)
        else:
            raise ValueError(f"pixels of dtype {picture.dtype}")
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


def preprocess(images):
    """float32 (N, height, width, 3): each image (0 to 255) minus its own scalar mean."""
    images = np.asarray(images)
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    return (images - mean).astype(np.float32)


def print_top5(probs, names, labels=None):
    """Print the five likeliest names for each image, in the course's form.

    probs: (N, classes); names: one for each class; labels: what to print behind
    `Image i`, for pictures that are the user's own.
    """
    for i, p in enumerate(probs):
        print(f"Image {i}" + (f": {labels[i]}" if labels else ""))
        for index in np.argsort(-p, kind="stable")[:5]:
            print(f"{names[index]}: {p[index]:.3f}")
        print()
