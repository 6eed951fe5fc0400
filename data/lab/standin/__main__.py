"""Write a folder of synthetic traffic signs, one folder for each class, to try with --train.

    python -m data.lab.standin my_images --classes 5

Each class has 4 tracks of 30 frames: TRACK_FRAME.png.
"""
import numpy as np
from PIL import Image

from data.lab.command import LabError, at_least, new_folder, parse_settings, run_script
from data.lab.gtsrb import class_names
from data.lab.paths import make_folder, report_full_disk
from data.lab.standin.signs import SIGNS, make_track

SETTINGS = (
    ("folders", new_folder, None, "folders to write"),
    ("--classes", at_least(2, len(SIGNS)), len(SIGNS), "number of classes (2 to 43)"),
)


def write_class(folder, class_id, tracks=4):
    """Write the frames of a class as PNG files into its folder in `folder`."""
    folder = make_folder(folder / class_names[class_id].replace("/", " "))
    for track in range(tracks):
        frames = make_track(class_id, np.random.default_rng([0, class_id, track]))[0]
        for i, frame in enumerate(frames):
            with report_full_disk(folder):
                Image.fromarray(frame).save(folder / f"{track:05}_{i:05}.png")


def main():
    args = parse_settings(__doc__, SETTINGS)
    if not args.folders:
        raise LabError("name a folder to write, such as my_images; see --help")
    for folder in args.folders:
        for i in range(args.classes):  # spread over the 43, from Stop on
            write_class(folder, (14 + i * len(SIGNS) // args.classes) % len(SIGNS))


if __name__ == "__main__":
    run_script(main)
