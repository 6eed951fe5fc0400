"""Images of every kind become RGB arrays."""
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data.lab.command import LabError, about

try:
    from PIL.AvifImagePlugin import SUPPORTED as AVIF  # since Pillow 11.3, on some systems
except ImportError:
    AVIF = False

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF") + ("AVIF",) * AVIF
# Of files in folders; the content decides how a file is read.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".ppm", ".pgm",
            ".pnm", ".tif", ".tiff") + (".avif",) * AVIF
LARGEST = 512  # pixels along a side, for --size; AlexNet sees 227
PIXELS = 50_000_000  # of an image; decoding takes about 10 bytes each
SCANS = 100  # of a JPEG; each is decoded over the whole image. Progressive ones have about 10
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns before it refuses


def list_images(paths):
    """Return the paths of images at `paths`; of a folder, all in it and its subfolders, sorted."""
    files = []
    for path in paths:
        if not Path(path).is_dir():
            files.append(path)
            continue
        found = sorted(file for file in Path(path).rglob("*")
                       if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        if not found:
            raise LabError(f"{path}: contains no images; give a folder with images, or their paths")
        files += found
    return files


def colour_mode(image):
    """Return Pillow's mode in which to read `image`, a path or an opened image; None: its own.

    Grey images of 8 or 16 bits are read in their own mode, all others in RGB or RGBA.
    Raises LabError, before anything is decoded, if the image would take too much time or
    memory, or is of a rare kind that would be read incorrectly.
    """
    if not isinstance(image, Image.Image):
        with Image.open(image, formats=FORMATS) as opened:
            return colour_mode(opened)
    if image.width * image.height > PIXELS:
        raise LabError(f"has {image.width} x {image.height} pixels, more than "
                       f"{PIXELS / 1e6:.0f} million: resize it")
    if image.format in ("JPEG", "MPO"):
        content = np.fromfile(image.filename, np.uint8)  # bytes.count would stop other threads
        scans = np.count_nonzero(content[1:][content[:-1] == 0xFF] == 0xDA)
        if scans > SCANS:
            raise LabError(f"has {scans:,} scans, more than {SCANS}: save it as a baseline JPEG")
    clear, deep = image.has_transparency_data, image.mode[0] == "I"
    mode = "RGBA" if clear else None if deep or image.mode in "1L" else "RGB"
    # imageio would mirror the colours instead of the columns.
    one_band = mode and len(image.getbands()) == 1
    mirrored = one_band and image.getexif().get(0x112) in (2, 4, 5, 7)
    if image.mode == "F" or deep and clear or mirrored:
        raise LabError(f"has a rare pixel format (Pillow's mode {image.mode})")
    return mode


def to_rgb(image, size):
    """Convert an array that imread has read to uint8 RGB (size, size, 3), 0 to 255.

    image: (height, width), or with 2 to 4 channels; 1, 8 or 16 bits. The whole image is resized
    to size x size, as BVLC's training images and GTSRB's signs were; transparent parts become
    white. Raises LabError for values of more than 16 bits.
    """
    if image.dtype != np.uint8:
        highest = 1 if image.dtype == bool else 65535
        if image.min() < 0 or image.max() > highest:
            raise LabError("has more than 16 bits per channel")
        image = (image / highest * 255).round().astype(np.uint8)
    picture = Image.fromarray(image)
    if picture.mode in ("LA", "RGBA"):
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    picture = picture.convert("RGB")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def read_image(path, size):
    """Read the image at `path` as uint8 RGB (size, size, 3), like the inference scripts do.

    A large JPEG is decoded at a fraction of its size, but at least at four times `size`: that
    is several times as fast, and differs by at most one grey level in ordinary photos, by up
    to three where strong noise is cut off at black or white. Raises LabError if it is bad.
    """
    with about(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an image with an odd header is read all the same
        with Image.open(path, formats=FORMATS) as image:
            mode = colour_mode(image)
            image.draft(image.mode, (4 * size, 4 * size))
            image = ImageOps.exif_transpose(image)
            return to_rgb(np.asarray(image.convert(mode) if mode else image), size)


def preprocess(images):
    """Return float32 (N, height, width, 3): each image (0 to 255) minus its own scalar mean."""
    images = np.asarray(images)
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    return np.subtract(images, mean, out=np.empty(images.shape, np.float32), casting="same_kind")
