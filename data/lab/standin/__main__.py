"""Draw a contact sheet of the 43 classes.

    python -m data.lab.standin classes.png
"""
import textwrap

from PIL import Image, ImageDraw, ImageFont

from data.lab.command import parse_settings, path, run_script
from data.lab.gtsrb import class_names
from data.lab.paths import atomic_write
from data.lab.standin.signs import BLACK, draw_sign

SETTINGS = (("sheet", path, None, "the PNG file to write"),)


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
    for sheet in parse_settings(__doc__, SETTINGS).sheet:
        with atomic_write(sheet) as file:
            contact_sheet().save(file, "PNG", optimize=True)


if __name__ == "__main__":
    run_script(main)
