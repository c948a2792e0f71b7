import numpy as np
import pytest
import torch
from PIL import Image

from radar_nb.images import (InputError, check_image, find_defective, find_images, load_images, read_image, read_mask,
                             resize, to_image, to_tensor, write_image)


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


@pytest.mark.parametrize(("content", "said"), [
    (None, "no such file"), (b"", "not an image"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "remove the file or replace it")])
def test_bad_files_are_named(tmp_path, content, said):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"bad.png: .*{said}"):
        read_image(path)


def test_a_truncated_file_is_named(tmp_path, rng):
    write_image(tmp_path / "cut.png", rng.integers(0, 256, (64, 64), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:1500])
    with pytest.raises(InputError, match="cut.png: cannot be read"):
        read_image(tmp_path / "cut.png")


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
