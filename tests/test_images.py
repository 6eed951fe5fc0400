"""Images of every kind become RGB arrays, the same by both readers; preprocessing."""
import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import bad_file
from PIL import Image, ImageFile

from data.lab.command import LabError, about
from data.lab.images import colour_mode, list_images, preprocess, read_image, to_rgb

RED_OVER_BLUE = np.zeros((40, 60, 3), np.uint8)
RED_OVER_BLUE[:20, :, 0] = RED_OVER_BLUE[20:, :, 2] = 255
PICTURE = Image.fromarray(RED_OVER_BLUE)


def read_as_the_scripts_do(path, size):
    with about(path):
        image = iio.imread(path, plugin="pillow", mode=colour_mode(path), index=0, rotate=True)
        return to_rgb(image, size)


@pytest.fixture(params=[read_image, read_as_the_scripts_do])
def read(request):
    """Each way in which the lab reads an image: read(path, size)."""
    return request.param


def png_16_bit(colour, size=8, claimed=None, clear=None):
    """A PNG of 16 bits a channel, which Pillow cannot write; `clear`: what is transparent."""
    kind = {1: 0, 3: 2}[len(colour)]
    rows = (b"\0" + struct.pack(f">{len(colour)}H", *colour) * size) * size

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", claimed or size, claimed or size, 16, kind, 0, 0, 0)
    transparency = b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparency
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name, convert, options", [
    ("a.png", None, {}), ("a.bmp", None, {}), ("a.gif", None, {}),
    ("a.jpg", None, {"quality": 95}),
    ("a.webp", None, {"lossless": True}),
    ("palette.png", "P", {}), ("alpha.png", "RGBA", {}),
    ("cmyk.jpg", "CMYK", {"quality": 95}),
    ("frames.gif", None, {"save_all": True, "append_images": [PICTURE.rotate(180)]}),
    ("frames.webp", None, {"lossless": True, "save_all": True,
                           "append_images": [PICTURE.rotate(180)]}),
])
def test_colour_formats(read, tmp_path, name, convert, options):
    PICTURE.convert(convert).save(tmp_path / name, **options)
    picture = read(tmp_path / name, 32)
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    assert np.abs(picture[4, 16].astype(int) - (255, 0, 0)).max() <= 6
    assert np.abs(picture[28, 16].astype(int) - (0, 0, 255)).max() <= 6


@pytest.mark.parametrize("mode, top, bottom", [("L", 76, 29), ("LA", 76, 29), ("1", None, None)])
def test_grey(read, tmp_path, mode, top, bottom):
    PICTURE.convert(mode).save(tmp_path / "grey.png")
    picture = read(tmp_path / "grey.png", 32)
    assert (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all()
    assert picture.std() > 0
    if top:
        assert picture[4, 16, 0] == top and picture[28, 16, 0] == bottom


@pytest.mark.parametrize("colour, rgb", [
    ((32768,), (128, 128, 128)), ((65535, 32768, 0), (255, 128, 0)),
])
def test_16_bit(read, tmp_path, colour, rgb):
    (tmp_path / "deep.png").write_bytes(png_16_bit(colour))
    assert (read(tmp_path / "deep.png", 8) == rgb).all()


@pytest.mark.parametrize("mode, dtype", [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "i4")])
def test_16_bit_tiff(read, tmp_path, mode, dtype):
    shown = np.arange(192, 256).reshape(8, 8)
    pixels = (shown * 257).astype(dtype)
    Image.frombytes(mode, (8, 8), pixels.tobytes()).save(tmp_path / "deep.tif")
    assert (read(tmp_path / "deep.tif", 8)[..., 0] == shown).all()


@pytest.mark.parametrize("name, content", [
    ("huge.png", png_16_bit((1,), claimed=13_300)),
    ("huge.gif", b"GIF89a" + struct.pack("<HHBBB", 65_000, 65_000, 0x80, 0, 0) + bytes(6)
     + b"," + struct.pack("<HHHHB", 0, 0, 65_000, 65_000, 0) + b"\x02\x01\x44\x00;"),
])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
        read, tmp_path, monkeypatch, recwarn, name, content):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabError, match=r"huge.* has \d+ x \d+ pixels, more than 50 million"):
        read(tmp_path / name, 32)
    assert not recwarn.list


def test_transparent_parts_lie_on_white(read, tmp_path):
    clear = PICTURE.convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    assert (read(tmp_path / "clear.png", 32) == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_turns_and_mirrors(read, tmp_path, mode, turn):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x112] = turn
    deep = Image.fromarray(pixels * np.uint16(257))
    picture = deep if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    picture.save(tmp_path / "turned.png", exif=exif)
    if mode == "P" and turn in (2, 4, 5, 7):  # which imageio would read wrong
        with bad_file("has a rare pixel format .*mode P", fix="give an ordinary PNG"):
            read(tmp_path / "turned.png", 32)
        return
    shown = pixels.T if turn > 4 else pixels
    shown = shown[:, ::-1] if turn in (2, 3, 6, 7) else shown
    shown = shown[::-1] if turn in (3, 4, 7, 8) else shown
    assert (read(tmp_path / "turned.png", 32) == shown[..., None]).all()


def test_right_size_is_left_alone(read, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png", 32), pixels)


@pytest.mark.parametrize("content", [
    b"", b"<html>", png_16_bit((1,))[:50], b"\0" * 1000, png_16_bit((30000,), clear=30000),
    *(iio.imwrite("<bytes>", np.full((8, 8), value, kind), extension=".tif", plugin="pillow")
      for value, kind in ((0.5, "f4"), (65_536, "i4"), (-1, "i4"))),
])
def test_what_is_no_picture(read, tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with bad_file("bad.png: (is truncated|has more than 16 bits per channel|has a rare)", "give"):
        read(tmp_path / "bad.png", 32)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(read, tmp_path, monkeypatch):
    PICTURE.save(tmp_path / "slow.jpg", progressive=True)
    assert read(tmp_path / "slow.jpg", 32).std() > 0
    content = (tmp_path / "slow.jpg").read_bytes()
    scan = content[content.rindex(b"\xff\xda"):-2]
    (tmp_path / "slow.jpg").write_bytes(content[:-2] + scan * 20_000 + content[-2:])
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with bad_file("slow.jpg: has 20,0.. scans, more than 100", fix="give an ordinary"):
        read(tmp_path / "slow.jpg", 32)


def photo(kind):
    """A scene of 1,200x900 pixels, with a gradient, edges and noise, in Pillow's mode `kind`."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:900, :1200]
    scene = np.stack([x / 6, y / 5, (x + y) / 10], axis=2) + rng.normal(20, 8, (900, 1200, 3))
    scene[300:600, 400:800] = 30
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8)).convert(kind)


@pytest.mark.parametrize("kind, options", [
    ("RGB", {}), ("RGB", {"progressive": True}), ("CMYK", {}), ("L", {}),
    ("RGB", {"subsampling": 0, "quality": 95}), ("RGB", {"format": "MPO", "save_all": True}),
    ("RGB", {"exif": 6}), ("L", {"exif": 3}),
])
@pytest.mark.parametrize("size", [32, 227])
def test_both_readers_agree_on_photos(tmp_path, kind, options, size):
    if "exif" in options:
        exif = Image.Exif()
        exif[0x112] = options["exif"]
        options = {"exif": exif}
    photo(kind).save(tmp_path / "photo.jpg", **options)
    one, other = (read(tmp_path / "photo.jpg", size).astype(int)
                  for read in (read_image, read_as_the_scripts_do))
    assert np.abs(one - other).max() <= 1 and one.std() > 20


def test_list_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = list_images(["x.png", tmp_path])
    assert found == ["x.png", *(tmp_path / name for name in ("a.jpg", "b.PNG", "sub/c.webp"))]
    with pytest.raises(LabError, match="empty: contains no images; give a folder with images"):
        list_images([tmp_path / "empty"])


def test_preprocess_subtracts_each_images_own_scalar_mean():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    images[1] //= 2
    result = preprocess(images)
    assert result.dtype == np.float32
    for image, ours in zip(images, result):
        np.testing.assert_allclose(ours, image - image.mean(), atol=1e-4)
    np.testing.assert_array_equal(result[1:2], preprocess(images[1:2]))
