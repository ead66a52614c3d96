"""Sources of pictures: what a person sees is what comes out, and what cannot be read says so by name."""

import io
import pickle
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from ctrh.data.images import (
    FORMATS,
    MAX_ASPECT,
    SUFFIXES,
    ArrayImages,
    BadImageError,
    FileImages,
    in_threads,
    open_image,
    square,
    upright_rgb,
)

LEFT_RED = np.zeros((6, 8, 3), np.uint8)
LEFT_RED[:, :4, 0] = 255
LEFT_RED[:, 4:, 2] = 255


def noise(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_every_listed_format_is_read(tmp_path, format):
    path = save(tmp_path / "picture.bin", LEFT_RED.repeat(8, 0).repeat(8, 1), format=format)
    picture = open_image(path, "picture")
    assert picture.mode == "RGB" and picture.size == (64, 48)
    assert np.abs(np.asarray(picture)[24, 10].astype(int) - [255, 0, 0]).max() < 12


def test_every_listed_suffix_is_a_suffix_of_a_listed_format():
    Image.init()
    known = {suffix for suffix, format in Image.registered_extensions().items() if format in FORMATS}
    assert known >= SUFFIXES


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    save(tmp_path / "turned.png", LEFT_RED, exif=exif)
    picture = np.asarray(FileImages(tmp_path, ["turned.png"])[0])
    np.testing.assert_array_equal(picture, np.rot90(LEFT_RED, k=-1))


def test_a_drawing_without_background_stands_on_white(tmp_path):
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0] = (255, 0, 0, 255)
    rgba[1] = (0, 0, 0, 0)
    rgba[1, 1] = (0, 0, 0, 51)  # one fifth black
    save(tmp_path / "drawing.png", rgba)
    picture = np.asarray(FileImages(tmp_path, ["drawing.png"])[0])
    assert picture[0, 0].tolist() == [255, 0, 0]
    assert picture[1, 0].tolist() == [255, 255, 255]
    assert picture[1, 1].tolist() == [204, 204, 204]


def test_palette_and_grey_transparency_stand_on_white(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png", transparency=0)
    Image.new("LA", (2, 1), (0, 0)).save(tmp_path / "la.png")
    images = FileImages(tmp_path, ["p.png", "la.png"])
    assert np.asarray(images[0]).tolist() == [[[255] * 3, [40, 50, 60]]]
    assert np.asarray(images[1]).tolist() == [[[255] * 3] * 2]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save(tmp_path / "scan.png")
    assert np.asarray(open_image(tmp_path / "scan.png", "scan"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[1000, 3000, 5000]], np.int32), [0, 127, 255]),
        (np.array([[-1e9, 0, 1e9]], np.float32), [0, 127, 255]),
        (np.array([[0.25, np.nan, 0.75]], np.float32), [0, 0, 255]),
        (np.array([[np.inf, 0.5, 0.25, -np.inf]], np.float32), [255, 255, 0, 0]),
        (np.full((1, 3), np.nan, np.float32), [0, 0, 0]),
        (np.full((1, 3), 7, np.int32), [0, 0, 0]),
    ],
)
def test_numbers_without_a_range_are_scaled_by_their_own(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "depth.tif")
    assert np.asarray(open_image(tmp_path / "depth.tif", "depth"))[0, :, 0].tolist() == expected


def test_a_sixteen_bit_pgm_is_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 12, dtype=np.uint16).reshape(3, 4)
    (tmp_path / "scan.pgm").write_bytes(b"P5 4 3 65535\n" + values.astype(">u2").tobytes())
    assert np.abs(np.asarray(open_image(tmp_path / "scan.pgm", "scan"))[..., 1] - values / 257.0).max() <= 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_metadata_are_no_damaged_pixels(tmp_path, format):
    path = save(tmp_path / "photo", noise(), format=format, exif=b"Exif\0\0" + b"\xff" * 60)
    with pytest.warns(UserWarning, match=r"^photo: its EXIF data are damaged"):
        picture = open_image(path, "photo")
    assert picture.size == (60, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert upright_rgb(picture).size == (60, 40)


@pytest.mark.parametrize("size", [(300_000, 1), (2, 70_000)])
def test_of_an_endless_strip_the_middle_is_left(tmp_path, size):
    strip = Image.new("RGB", size, "red")
    strip.putpixel((size[0] // 2, size[1] // 2), (0, 0, 255))
    strip.save(tmp_path / "strip.png")
    found = open_image(tmp_path / "strip.png", "strip")
    assert max(found.size) <= MAX_ASPECT * min(size) + 1 and min(found.size) == min(size)
    assert (np.asarray(found)[..., 2] == 255).sum() == 1


def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"<html>404 not found</html>", "not a picture"),
        (jpeg(noise())[:1000], "damaged"),
        (png(noise())[:1000], "damaged"),
        (png(noise())[:40], "damaged|not a picture"),
        (png(noise()).replace(b"IDAT", b"IDXT"), "damaged|not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(tmp_path, content, reason):
    (tmp_path / "holiday.jpg").write_bytes(content)
    with pytest.raises(BadImageError, match=f"^holiday.jpg: ({reason}).*(replace|convert)") as caught:
        FileImages(tmp_path, ["holiday.jpg"])[0]
    assert caught.value.name == "holiday.jpg"


def test_every_truncation_of_a_picture_is_refused_or_complete(tmp_path):
    pixels, path = noise(24, 24), tmp_path / "cut.png"
    whole = png(pixels)
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BadImageError):
            open_image(path, "cut.png")


def test_missing_files_and_oversized_pictures_are_named(tmp_path):
    save(tmp_path / "big.png", noise(40, 60))
    images = FileImages(tmp_path, ["big.png", "gone.png"], max_pixels=2399)
    with pytest.raises(BadImageError, match=r"big\.png: 60x40 pixels are over the limit of 2,399"):
        images[0]
    with pytest.raises(BadImageError, match=r"gone\.png: no such file"):
        images[1]
    with pytest.raises(BadImageError, match=r"gone\.png: cannot be read"):
        _ = images.key


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    header = png(np.zeros((1, 1, 3), np.uint8))
    size = (40_000).to_bytes(4, "big")

    ihdr = b"IHDR" + size + size + header[24:29]
    bomb = header[:12] + ihdr + zlib.crc32(ihdr).to_bytes(4, "big") + header[33:]
    (tmp_path / "bomb.png").write_bytes(bomb)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(BadImageError, match=r"bomb\.png: .*save it smaller"):
            open_image(tmp_path / "bomb.png", "bomb.png")


def test_the_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(BadImageError("a.jpg", "damaged")))
    assert (error.name, error.reason, str(error)) == ("a.jpg", "damaged", "a.jpg: damaged")


def test_the_key_of_files_follows_content_and_order_alone(tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 2), ("copy.png", 1)):
        save(tmp_path / name, noise(seed=seed))
    key = FileImages(tmp_path, ["a.png", "b.png"]).key
    assert FileImages(tmp_path, ["copy.png", "b.png"]).key == key
    assert FileImages(tmp_path, ["b.png", "a.png"]).key != key
    assert FileImages(tmp_path, ["a.png"]).key != key
    save(tmp_path / "b.png", noise(seed=3))
    assert FileImages(tmp_path, ["a.png", "b.png"]).key != key


def test_array_images(tmp_path):
    pixels = np.stack([noise(5, 7, seed) for seed in range(3)])
    np.save(tmp_path / "pixels.npy", pixels)
    images, mapped = ArrayImages(pixels), ArrayImages(np.load(tmp_path / "pixels.npy", mmap_mode="r"))
    assert len(images) == 3 and images[2].size == (7, 5)
    np.testing.assert_array_equal(np.asarray(mapped[2]), pixels[2])
    assert images.key == mapped.key != ArrayImages(pixels[:2]).key
    assert ArrayImages(pixels[:, :, ::-1]).key != images.key
    assert ArrayImages(pixels.reshape(3, 7, 5, 3)).key != images.key
    assert ArrayImages(pixels, key="known").key == "known"
    for bad in (pixels.astype(float), pixels[0], pixels[..., :2]):
        with pytest.raises(ValueError, match="expected uint8"):
            ArrayImages(bad)


def test_square_crops_the_middle_or_keeps_everything():
    wide = Image.fromarray(np.concatenate([LEFT_RED, LEFT_RED], axis=1))  # 16 x 6: red blue red blue
    cropped, padded = (np.asarray(square(wide, 12, fit)) for fit in ("crop", "pad"))
    assert cropped.shape == padded.shape == (12, 12, 3)
    assert cropped[6, 1, 2] > 200 and cropped[6, -2, 0] > 200  # blue, red: the middle 6 of 16 columns
    assert padded[0, 0].tolist() == [255, 255, 255]
    assert padded[6, 0, 0] > 200 and padded[6, -1, 2] > 200
    with pytest.raises(ValueError, match="'crop' or 'pad'"):
        square(wide, 12, "stretch")


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_square_takes_a_line_of_one_pixel(fit):
    assert square(Image.new("RGB", (5000, 1), "red"), 16, fit).size == (16, 16)


def test_in_threads_keeps_order_bounds_what_waits_and_passes_errors_on():
    started = []
    lock = threading.Lock()

    def work(item):
        with lock:
            started.append(item)
        time.sleep(0.001 * (item % 3))
        if item == 40:
            raise ValueError("item 40")
        return item * item

    assert list(in_threads(work, range(30), threads=3)) == [item * item for item in range(30)]
    started.clear()
    results = in_threads(work, range(1000), threads=2)
    assert next(results) == 0
    assert len(started) <= 5
    with pytest.raises(ValueError, match="item 40"):
        list(results)
    assert max(started) < 50
