"""Images of other kinds of files: PNG, JPEG, CIFAR, .npy and MATLAB."""

import numpy as np
import pytest
from PIL import Image
from support.matlab_files import SAVERS

from matconv.io import FormatError
from matconv.io.arrays import read_images_mat, read_npy
from matconv.io.cifar import read_cifar
from matconv.io.pictures import picture_classes, read_picture, read_pictures

RANDOM = np.random.default_rng(11)
COLOUR = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GRAY = COLOUR[..., 0]


@pytest.fixture
def picture(tmp_path):
    """Write an array as a picture and give its path."""

    def picture(array, name="p.png", mode=None, **options):
        Image.fromarray(array, mode).save(tmp_path / name, **options)
        return str(tmp_path / name)

    return picture


def test_read_picture_png_is_exact(picture):
    assert np.array_equal(read_picture(picture(COLOUR)), COLOUR)
    assert np.array_equal(read_picture(picture(GRAY)), GRAY[..., np.newaxis])


def test_read_picture_converts_to_the_channels_wanted(picture):
    found = read_picture(picture(GRAY), channels=3)
    assert np.array_equal(found, np.repeat(GRAY[..., np.newaxis], 3, 2))
    weights = np.array([0.299, 0.587, 0.114])
    assert abs(read_picture(picture(COLOUR), 1)[..., 0] - COLOUR @ weights).max() <= 1
    with pytest.raises(ValueError, match="pictures have 1 or 3 channels, the network has 4"):
        read_picture(picture(COLOUR), 4)


def test_read_picture_of_16_bits_is_reduced_to_8(picture):
    array = np.array([[0, 257, 65535, 257 * 100]], np.uint16)
    assert read_picture(picture(array)).ravel().tolist() == [0, 1, 255, 100]


def test_read_picture_jpeg(picture):
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    found = read_picture(picture(flat, "p.jpg", quality=100))
    assert found.shape == (16, 24, 3)
    assert abs(found.astype(int) - flat).max() <= 3


def test_read_picture_resized_both_sides_by_nearest(picture):
    found = read_picture(picture(COLOUR), 3, (12, 18), {"interpolation": "nearest"})
    assert np.array_equal(found, COLOUR.repeat(2, 0).repeat(2, 1))


def test_read_picture_keeping_the_aspect_takes_the_centre(picture):
    how = {"interpolation": "nearest", "keep_aspect": True}
    found = read_picture(picture(COLOUR), 3, (6, 5), how)
    assert np.array_equal(found, COLOUR[:, 2:7])
    how["border"] = [2, 2]
    found = read_picture(picture(COLOUR), 3, (4, 5), how)
    assert np.array_equal(found, COLOUR[1:5, 2:7])


@pytest.mark.parametrize(
    ("shape", "how", "message"),
    [
        (
            (1, 30000),
            {"keep_aspect": True},
            "1 x 30000 would be enlarged to 32 x 960000 to cover 32 x",
        ),
        ((600000, 1), {}, "600000 x 1 would be enlarged to 32 x 32 to cover"),
        ((6, 9), {"border": [65536, 65536]}, "6 x 9 would be enlarged to 65568 x 65568 to cover"),
    ],
)
def test_read_picture_enlarged_without_limit_refused(picture, shape, how, message):
    path = picture(np.zeros(shape, np.uint8))
    with pytest.raises(FormatError, match=message):
        read_picture(path, 1, (32, 32), how)


def test_read_pictures_of_different_sizes_refused(picture):
    paths = [picture(COLOUR, "a.png"), picture(COLOUR[:4], "b.png")]
    with pytest.raises(FormatError, match=r"b.png': the picture is 4 x 9, '.*a.png' is 6 x 9"):
        read_pictures(paths)
    assert read_pictures(paths, 3, (5, 5)).shape == (2, 5, 5, 3)


def test_read_picture_truncated_refused_or_whole(picture, tmp_path):
    with open(picture(COLOUR), "rb") as file:
        content = file.read()
    whole = 0
    for length in range(1, len(content)):
        (tmp_path / "cut.png").write_bytes(content[:length])
        try:
            found = read_picture(tmp_path / "cut.png")
        except FormatError as error:
            assert "cut.png': not a picture that can be read: " in str(error)
        else:
            # only checksums and the mark of the end are missing
            assert np.array_equal(found, COLOUR)
            whole += 1
    assert whole <= 20


def test_read_picture_other_file_refused(tmp_path):
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(FormatError, match="text.png': not a picture that can be read: cannot"):
        read_picture(tmp_path / "text.png")


def test_read_picture_that_declares_too_many_pixels_refused(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    with pytest.raises(FormatError, match="9000 x 9000 pixels, too many for a file of"):
        read_picture(tmp_path / "large.png")


def test_read_picture_that_its_bytes_allow_is_read(tmp_path):
    # 8 bytes for each of 4000 x 2090 pixels are below 64 MiB, 12 are not
    image = Image.new("L", (4000, 2090))
    image.save(tmp_path / "large.png")
    assert read_picture(tmp_path / "large.png").shape == (2090, 4000, 1)
    image.save(tmp_path / "large.jpg", quality=1)
    with pytest.raises(FormatError, match="2090 x 4000 pixels, too many for a file of"):
        read_picture(tmp_path / "large.jpg")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_read_picture_some_rows_at_a_time_as_a_whole(tmp_path, monkeypatch, mode, channels):
    if mode == "I;16":
        image = Image.fromarray(RANDOM.integers(0, 65536, (7, 5)).astype(np.uint16))
    else:
        colours = RANDOM.integers(0, 256, (7, 5, 4), dtype=np.uint8)
        image = Image.fromarray(colours).convert("RGB" if mode == "P" else "RGBA").convert(mode)
    image.save(tmp_path / "p.png")
    whole = read_picture(tmp_path / "p.png", channels)
    if mode != "I;16":
        expected = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        assert np.array_equal(whole, expected.reshape(whole.shape))
    monkeypatch.setattr("matconv.io.pictures._STRIP", 11)
    assert np.array_equal(read_picture(tmp_path / "p.png", channels), whole)


def test_picture_classes_are_subdirectories_with_pictures(tmp_path, picture):
    for name in ("dog/1.PNG", "cat/b.jpg", "cat/a.jpeg", "empty/x.txt", ".hidden/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = picture_classes(str(tmp_path))
    assert {key: [p.rpartition("/")[2] for p in paths] for key, paths in found.items()} == {
        "cat": ["a.jpeg", "b.jpg"],
        "dog": ["1.PNG"],
    }


# CIFAR


@pytest.mark.parametrize("labels", [1, 2])
def test_read_cifar_planes_become_channels(tmp_path, labels):
    rows = RANDOM.integers(0, 256, (3, labels + 3072), dtype=np.uint8)
    rows[:, :labels] %= 10
    (tmp_path / "b.bin").write_bytes(rows.tobytes())
    Z, y = read_cifar(tmp_path / "b.bin")
    assert Z.shape == (3, 32, 32, 3) and y.tolist() == rows[:, labels - 1].tolist()
    assert Z[2, 5, 7, 1] == rows[2, labels + 1024 + 5 * 32 + 7]


def test_read_cifar_invalid_file_refused(tmp_path):
    (tmp_path / "b.bin").write_bytes(bytes(3074 * 2 + 1))
    with pytest.raises(FormatError, match="6149 bytes are not a number of CIFAR's images"):
        read_cifar(tmp_path / "b.bin")
    (tmp_path / "b.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(FormatError, match="the label 10 is not one of CIFAR-10"):
        read_cifar(tmp_path / "b.bin")


# Arrays


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["u1", ">f4", "<f8", "?"])
def test_read_npy_any_order_and_type(tmp_path, order, dtype):
    array = np.asarray(RANDOM.integers(0, 2, (3, 4, 5)), dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert np.array_equal(found, array)
    assert found.dtype.isnative and found.flags.c_contiguous


@pytest.mark.catalogue(45)
def test_read_npy_objects_complex_and_wrong_length_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(FormatError, match="never read"):
        read_npy(path)
    np.save(path, np.ones(3, complex))
    with pytest.raises(FormatError, match="expected real numbers, got complex128"):
        read_npy(path)
    np.save(path, np.ones(3))
    content = path.read_bytes()
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError, match="a.npy': "):
            read_npy(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(FormatError, match="the file has 153"):
        read_npy(path)


IMAGES = RANDOM.standard_normal((5, 4, 3, 2))


@pytest.mark.parametrize("version", SAVERS)
@pytest.mark.parametrize(
    ("name", "array", "shape"),
    [
        ("X", IMAGES.transpose(1, 2, 3, 0), None),
        ("Z", IMAGES, None),
        ("X", IMAGES.transpose(1, 2, 3, 0), (4, 3, 2)),
        ("Z", IMAGES.transpose(0, 3, 2, 1).reshape(5, -1), (4, 3, 2)),
    ],
)
def test_read_images_mat_each_layout(tmp_path, version, name, array, shape):
    SAVERS[version](tmp_path / "i.mat", {name: array, "y": np.arange(5.0)})
    Z, y = read_images_mat(tmp_path / "i.mat", shape)
    assert np.array_equal(Z, IMAGES) and Z.flags.c_contiguous
    assert y.tolist() == [0, 1, 2, 3, 4] and y.dtype == np.int64


@pytest.mark.parametrize(
    ("variables", "shape", "message"),
    [
        ({"y": np.ones(3)}, None, "there is no array X or Z of images"),
        ({"X": np.ones((5, 24))}, None, r"row for each image, \(5, 24\): input_shape is needed"),
        ({"X": np.ones((5, 4, 6)), "y": np.ones(5)}, None, r"channels\), got \(5, 4, 6\)"),
        ({"X": np.ones((5, 24))}, (4, 3, 3), r"or \(l, 36\) by columns, got \(5, 24\)"),
        ({"X": IMAGES, "y": np.ones(4)}, (4, 3, 2), "5 images, but 4 labels in y"),
        ({"X": IMAGES, "y": np.full(5, 0.5)}, None, "the labels must be integers"),
        (
            {"X": IMAGES, "y": np.array([1, 2, 1e300, 2, 1])},
            None,
            r"the labels must be integers between -2\^53 and 2\^53, number 3 is 1e\+300",
        ),
    ],
)
def test_read_images_mat_invalid_refused(tmp_path, variables, shape, message):
    SAVERS["5"](tmp_path / "i.mat", variables)
    with pytest.raises(FormatError, match=message):
        read_images_mat(tmp_path / "i.mat", shape)


@pytest.mark.parametrize(
    ("array", "shape", "expected"),
    [
        (IMAGES[0], (4, 3, 2), IMAGES[:1]),
        (IMAGES[..., 0].transpose(1, 2, 0), (4, 3, 1), IMAGES[..., :1]),
        (IMAGES[..., 0], (4, 3, 1), IMAGES[..., :1]),
    ],
)
def test_read_images_mat_last_dimension_of_1_may_be_missing(tmp_path, array, shape, expected):
    SAVERS["5"](tmp_path / "i.mat", {"X": array, "y": np.arange(float(len(expected)))})
    Z, y = read_images_mat(tmp_path / "i.mat", shape)
    assert np.array_equal(Z, expected) and y.tolist() == [*range(len(expected))]


def test_read_images_mat_without_labels(tmp_path):
    SAVERS["5"](tmp_path / "i.mat", {"Z": IMAGES})
    Z, y = read_images_mat(tmp_path / "i.mat")
    assert np.array_equal(Z, IMAGES) and y is None
