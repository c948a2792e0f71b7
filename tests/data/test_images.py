import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from radar_nb.data.folders import find_defective
from radar_nb.data.images import (
    check_image,
    load_images,
    load_tensors,
    read_image,
    resize,
    to_image,
    to_tensor,
    write_image,
)
from radar_nb.data.listing import find_images
from radar_nb.data.masks import read_mask
from radar_nb.storage.errors import InputError


def test_grey_and_rgb_survive_a_round_trip(tmp_path, rng):
    for shape in ((9, 7), (9, 7, 3)):
        image = rng.integers(0, 256, shape, np.uint8)
        write_image(tmp_path / "new" / "a b é.png", image)
        assert np.array_equal(read_image(tmp_path / "new" / "a b é.png"), image)
        tensor = to_tensor(image)
        assert tensor.shape == (shape[2] if len(shape) == 3 else 1, 9, 7) and tensor.min() >= -1 and tensor.max() <= 1
        assert np.allclose(to_image(tensor) * 255, image, atol=1e-3)


def test_sixteen_bit_is_scaled(tmp_path):
    Image.fromarray(np.array([[0, 65535], [32768, 1]], np.uint16)).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png")
    assert image.dtype == np.float32 and image.tolist()[0] == [0, 1] and image[1, 0] == pytest.approx(0.5, abs=1e-4)


def test_network_range(rng):
    assert to_tensor(np.array([[0, 255]], np.uint8)).tolist() == [[[-1, 1]]]
    assert to_tensor(np.array([[0, 0.5, 1]], np.float32)).tolist() == [[[-1, 0, 1]]]
    assert to_image(torch.tensor([[[-3.0, 3.0]]])).tolist() == [[0, 1]]


@pytest.mark.parametrize(("image", "said"), [
    (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
    (np.zeros((24, 512), np.uint8), "24 x 512 is smaller than a patch"),
    (np.full((64, 64), np.nan), "NaN"),
    (np.full((64, 64), 200.0), "values from 200 to 200"),
    (np.zeros((64, 64), np.int64), "type int64")])
def test_bad_arrays_are_named(image, said):
    with pytest.raises(InputError, match=f"images\\[0\\]: .*{said}"):
        list(load_images([image], smallest=32))


def test_mixed_channels_are_named():
    with pytest.raises(InputError, match=r"images\[1\]: RGB, but grey is expected"):
        list(load_images([np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)]))


def test_a_lone_channel_is_grey():
    assert check_image(np.zeros((5, 6, 1), np.uint8)).shape == (5, 6)


def test_a_single_path_is_not_taken_for_a_list():
    with pytest.raises(InputError, match="give a list"):
        list(load_images("a.png"))


def test_resize_shrinks_only_and_keeps_masks_bool(rng):
    image, mask = rng.integers(0, 256, (40, 80, 3), np.uint8), np.zeros((40, 80), bool)
    mask[8:24, 20:40] = True
    assert resize(image, 100) is image and resize(image, None) is image
    assert resize(image, 20).shape == (10, 20, 3)
    small = resize(mask, 20)
    assert small.dtype == bool and small.sum() == mask.sum() / 16


def test_find_images_names_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no images found"):
        find_images(tmp_path)


def test_masks_and_images_must_pair(mvtec_folder):
    assert [(kind, mask.name) for _, kind, mask in find_defective(mvtec_folder)] == [("scratch", "000_mask.png"), ("scratch", "001_mask.png")]
    assert read_mask(mvtec_folder / "ground_truth/scratch/000_mask.png").any()
    mask = mvtec_folder / "ground_truth/scratch/001_mask.png"
    mask.rename(mask.with_name("007_mask.png"))
    with pytest.raises(InputError, match="scratch/001.png: no mask"):
        find_defective(mvtec_folder)
    (mvtec_folder / "test/scratch/001.png").unlink()
    with pytest.raises(InputError, match="007_mask.png: a mask without its image"):
        find_defective(mvtec_folder)


# --- what people really have -----------------------------------------------------------------------------------

GREY = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (40, 48, 3), np.uint8)
SMOOTH = np.stack([np.tile(np.linspace(20, 220, 48), (40, 1)), np.tile(np.linspace(200, 40, 40)[:, None], (1, 48)), np.full((40, 48), 90.0)], -1).astype(np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65536, (40, 48), np.uint16)


def _save(image, mode=None, **options):
    return lambda path: (image if isinstance(image, Image.Image) else Image.fromarray(image, mode) if mode else Image.fromarray(image)).save(path, **options)


def _rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by a quarter"
    Image.fromarray(GREY).save(path, exif=exif)


def _link(path):
    Image.fromarray(GREY).save(path.with_name("real.png"))
    path.symlink_to("real.png")


def _read_only(path):
    Image.fromarray(GREY).save(path)
    path.chmod(0o444)


def _mpo(path):
    Image.fromarray(SMOOTH).save(path, "MPO", save_all=True, append_images=[Image.fromarray(SMOOTH[::-1])], quality=95)


ALPHA = np.dstack([COLOUR, np.full((40, 48), 128, np.uint8)])
PALETTE = Image.fromarray(SMOOTH).quantize(200)
ODD = {  # name of the file: how it is made, what must be read, how far it may be off (lossy kinds)
    "grey.png": (_save(GREY), GREY, 0),
    "colour.png": (_save(COLOUR), COLOUR, 0),
    "grey.bmp": (_save(GREY), GREY, 0),
    "colour.bmp": (_save(COLOUR), COLOUR, 0),
    "grey.tif": (_save(GREY), GREY, 0),
    "lzw.tiff": (_save(COLOUR, compression="tiff_lzw"), COLOUR, 0),
    "grey.pgm": (_save(GREY), GREY, 0),
    "lossless.webp": (_save(COLOUR, lossless=True), COLOUR, 0),
    "smooth.jpg": (_save(SMOOTH, quality=95), SMOOTH, 12),
    "CAPITALS.JPEG": (_save(SMOOTH, quality=95), SMOOTH, 12),
    "progressive.jpg": (_save(SMOOTH, quality=95, progressive=True), SMOOTH, 12),
    "stereo.jpg": (_mpo, SMOOTH, 12),
    "press.jpg": (_save(Image.fromarray(SMOOTH).convert("CMYK"), quality=95), SMOOTH, 14),
    "press.tif": (_save(Image.fromarray(COLOUR).convert("CMYK")), COLOUR, 1),
    "transparent.png": (_save(ALPHA), COLOUR, 0),
    "grey and alpha.png": (_save(np.dstack([GREY, GREY]), "LA"), GREY, 0),
    "palette.png": (_save(PALETTE), np.array(PALETTE.convert("RGB")), 0),
    "grey palette.png": (_save(Image.fromarray(GREY).convert("P")), GREY, 0),
    "one bit.png": (_save(Image.fromarray(GREY > 127)), 255 * (GREY > 127).astype(np.uint8), 0),
    "deep.png": (_save(DEEP), DEEP / 65535, 1e-6),
    "deep.tif": (_save(DEEP), DEEP / 65535, 1e-6),
    "deep colour.tif": (lambda path: tifffile.imwrite(path, COLOUR.astype(np.uint16) * 257), COLOUR / 255, 1e-6),
    "float colour.tif": (lambda path: tifffile.imwrite(path, (COLOUR / 255).astype(np.float32)), COLOUR / 255, 1e-6),
    "float.tif": (_save((DEEP / 65535).astype(np.float32)), DEEP / 65535, 1e-6),
    "grey as colour.png": (_save(np.dstack([GREY] * 3)), GREY, 0),
    "turned by EXIF.png": (_rotated, np.rot90(GREY, -1), 0),
    "wrong but honest.jpg": (_save(GREY, format="PNG"), GREY, 0),
    "Fläche ☀ 表面.png": (_save(GREY), GREY, 0),
    "link.png": (_link, GREY, 0),
    "read only.png": (_read_only, GREY, 0),
}


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _cut(kind, share=0.5, **options):
    def make(path):
        Image.fromarray(np.random.default_rng(3).integers(0, 256, (80, 80, 3), np.uint8)).save(path, kind, **options)
        path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
    return make


def _spoilt(path):
    Image.fromarray(COLOUR).save(path)
    raw = bytearray(path.read_bytes())
    raw[60:120] = bytes(60)
    path.write_bytes(raw)


def _bomb(path):
    """A PNG of a few bytes that says it is 60,000 pixels wide and high."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


BAD = {
    "missing.png": (lambda path: None, "no such file"),
    "empty.png": (_bytes(b""), "is empty"),
    "text.png": (_bytes(b"hello" * 50), "not an image"),
    "zeros.jpg": (_bytes(bytes(5000)), "not an image"),
    "page.jpg": (_bytes(b"<html><body>404</body></html>"), "not an image"),
    "zeros.tif": (_bytes(bytes(5000)), "cannot be read|not an image"),
    "head.png": (_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30)), "not an image"),
    "cut.png": (_cut("PNG"), "cannot be read"),
    "cut.jpg": (_cut("JPEG"), "cannot be read"),
    "cut.tif": (_cut("TIFF"), "cannot be read"),
    "cut.bmp": (_cut("BMP"), "cannot be read"),
    "cut.webp": (_cut("WEBP"), "cannot be read"),
    "spoilt.png": (_spoilt, "cannot be read"),
    "bomb.png": (_bomb, "cannot be read"),
    "animation.png": (lambda path: Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(GREY[::-1])]), "holds 2 images"),
    "stack.tif": (lambda path: Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(GREY)] * 4), "holds 5 images"),
    "metres.tif": (_save((GREY * 3.0).astype(np.float32)), "values from"),
    "nan.tif": (_save(np.full((40, 40), np.nan, np.float32)), "values from nan"),
    "negative.tif": (_save(-GREY.astype(np.int32)), "values from -"),
    "animation.gif": (_save(GREY), "not an image"),
    "dangling.png": (lambda path: path.symlink_to("nowhere.png"), "no such file"),
    "folder.png": (lambda path: path.mkdir(), "cannot be read"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_are_read_rightly(tmp_path, name):
    make, expected, tolerance = ODD[name]
    folder = tmp_path / "my photos é"
    folder.mkdir()
    make(folder / name)
    image = read_image(folder / name)
    assert image.shape == expected.shape and image.dtype == (np.uint8 if np.asarray(expected).dtype == np.uint8 else np.float32)
    assert np.abs(image.astype(float) - expected.astype(float)).max() <= tolerance
    assert folder / name in find_images(folder)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_in_one_line(tmp_path, name):
    make, said = BAD[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: .*({said})") as error:
        read_image(tmp_path / name)
    assert "\n" not in str(error.value)


def test_there_are_enough_cases():
    assert len(ODD) >= 25 and len(BAD) >= 15


def test_a_grey_file_among_rgb_ones_is_repeated_and_a_grey_array_is_not(tmp_path):
    write_image(tmp_path / "grey.png", GREY)
    write_image(tmp_path / "rgb.png", COLOUR)
    assert [image.shape for image in load_images([tmp_path / "rgb.png", tmp_path / "grey.png"])] == [(40, 48, 3)] * 2
    with pytest.raises(InputError, match="images\\[1\\]: grey, but RGB"):
        list(load_images([COLOUR, GREY]))
    with pytest.raises(InputError, match="rgb.png: RGB, but grey"):
        list(load_images([tmp_path / "grey.png", tmp_path / "rgb.png"]))


def test_masks_of_ones_are_read(tmp_path):
    write_image(tmp_path / "mask.png", (GREY > 99).astype(np.uint8))
    assert np.array_equal(read_mask(tmp_path / "mask.png"), GREY > 99)
    write_image(tmp_path / "black.png", np.zeros((9, 9), np.uint8))
    assert not read_mask(tmp_path / "black.png").any()


def test_folders_inside_folders_and_behind_links(tmp_path):
    write_image(tmp_path / "real/b/2.png", GREY)
    write_image(tmp_path / "real/1.png", GREY)
    (tmp_path / "real/folder.png").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert [path.name for path in find_images(tmp_path / "link")] == ["1.png"]
    assert [path.name for path in find_images(tmp_path / "link", inside=True)] == ["1.png", "2.png"]


def test_an_array_that_cannot_be_written_is_read_without_a_word(recwarn):
    """As `np.asarray` of a Pillow image is."""
    image = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    image.flags.writeable = False
    for kind in (image, image / np.float32(255)):
        kind.flags.writeable = False
        assert torch.allclose(to_tensor(kind), torch.from_numpy(image / 127.5 - 1)[None].float(), atol=1e-6)
        assert load_tensors([kind])[0].shape == (1, 32, 32)
    assert not recwarn.list
