"""Draw traffic signs: a data set of one's own to try, or a contact sheet.

    python -m data.lab.standin my_pictures --classes 5    a folder of folders of pictures
    python -m data.lab.standin --sheet classes.png        the 43 classes

The folder has a folder for each class, with 4 tracks of 30 frames: TRACK_FRAME.png.
"""
import textwrap
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.lab.command import at_least, parse_settings, path, run_script
from data.lab.gtsrb import class_names
from data.lab.paths import atomic_write
from data.lab.standin.signs import BLACK, FRAMES, draw_sign, make_track

SETTINGS = (
    ("folders", path, None, "folders to write"),
    ("--classes", at_least(2), len(class_names), "how many of the 43 classes"),
    ("--sheet", path, None, "the PNG file of a contact sheet to write"),
)


def write_folder(folder, classes, tracks=4):
    """Write the drawn signs of `classes` classes, spread over the 43, as PNG files."""
    for class_id in np.linspace(14, 14 + 43, classes, endpoint=False).astype(int) % 43:
        name = class_names[class_id].replace("/", " ")
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        for track in range(tracks):
            frames = make_track(class_id, np.random.default_rng([0, class_id, track]))[0]
            for i in range(FRAMES):
                iio.imwrite(Path(folder) / name / f"{track:05}_{i:05}.png", frames[i])


def contact_sheet(columns=9, cell=(124, 148)):
    """All signs with their numbers and names: an image of few colours."""
    rows = -(-len(class_names) // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), (225, 228, 232))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for class_id, name in enumerate(class_names):
        x, y = class_id % columns * cell[0], class_id // columns * cell[1]
        sign = Image.fromarray(draw_sign(class_id, 84))
        sheet.paste(sign, (x + 20, y + 8), sign)
        label = "\n".join(textwrap.wrap(f"{class_id} {name}", 20))
        pen.text((x + cell[0] // 2, y + 98), label, BLACK, font, "ma", align="center")
    return sheet.quantize(128, Image.Quantize.FASTOCTREE)


def main():
    args = parse_settings(__doc__, SETTINGS)
    for folder in args.folders:
        write_folder(folder, min(args.classes, len(class_names)))
    if args.sheet:
        with atomic_write(args.sheet) as file:
            contact_sheet().save(file, "PNG", optimize=True)


if __name__ == "__main__":
    run_script(main)
