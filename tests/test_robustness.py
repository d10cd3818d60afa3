from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import robustness
from benchmarks.robustness import CONDITIONS
from lenet_multi.data.examples import Dataset

DOT = np.zeros((4, 28, 28, 1), np.uint8)
DOT[:, 12:16, 12:16] = 200


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name != "as they are"])
def test_a_condition_changes_images_alike_each_time(name: str, mnist: Dataset) -> None:
    """Each condition changes every image, gives bytes of the same shape, and draws nothing new."""
    images: NDArray[np.uint8] = np.asarray(mnist.test.x[:8])
    changed = CONDITIONS[name](images)
    assert (changed.shape, changed.dtype) == (images.shape, np.dtype(np.uint8))
    assert all(not np.array_equal(one, other) for one, other in zip(images, changed, strict=True))
    np.testing.assert_array_equal(changed, CONDITIONS[name](images))


def test_moves_go_in_four_directions() -> None:
    """A dot moves by the pixels of the condition's name, to another corner for each image."""
    moved = CONDITIONS["moved by 4 pixels"](DOT)
    for image, (down, right) in zip(moved, [(4, 4), (-4, 4), (4, -4), (-4, -4)], strict=True):
        wanted = np.zeros((28, 28), np.uint8)
        wanted[12 + down : 16 + down, 12 + right : 16 + right] = 200
        np.testing.assert_array_equal(image[..., 0], wanted)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("0.7 times as large", 14),
        ("1.2 times as large", 24),
        ("strokes one pixel thicker", 21),
        ("strokes one pixel thinner", 19),
    ],
)
def test_sizes_are_those_of_the_names(name: str, side: int) -> None:
    """A square of 20 pixels gets the side that the condition's name says."""
    square = np.zeros((1, 28, 28, 1), np.uint8)
    square[:, 4:24, 4:24] = 200
    bright = CONDITIONS[name](square)[0, ..., 0] > 100
    assert bright.any(axis=1).sum() == bright.any(axis=0).sum() == side


def test_noise_has_its_deviation() -> None:
    """Noise on grey images has the deviation of the condition's name."""
    grey = np.full((20, 28, 28, 1), 128, np.uint8)
    for deviation in (32, 64):
        changed = robustness.noisy(deviation)(grey).astype(float)
        assert changed.std() == pytest.approx(deviation, rel=0.06)  # 64 is cut at black and white


def test_an_inversion_is_one() -> None:
    """Black on white is 255 minus the image."""
    assert (CONDITIONS["black on white"](DOT) == 255 - DOT.astype(int)).all()


def test_other_digits_get_mnists_size() -> None:
    """An 8x8 square of full ink becomes a white one of 20x20 pixels in the middle of 28x28."""
    found = robustness.enlarged(np.full((2, 8, 8), 16.0))
    wanted = np.zeros((2, 28, 28, 1), np.uint8)
    wanted[:, 4:24, 4:24] = 255
    np.testing.assert_array_equal(found, wanted)
    dot = np.zeros((1, 8, 8))
    dot[0, 2, 5] = 16
    middle = ndimage.center_of_mass(robustness.enlarged(dot)[0, ..., 0])
    # A pixel takes 2.5; the third of a row begins after two, the sixth after five.
    assert middle == pytest.approx((4 + 2.5 * 2.5 - 0.5, 4 + 2.5 * 5.5 - 0.5), abs=0.02)  # of bytes


def test_a_wrong_run_is_refused_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder without a run gets one line and status 2, before any image is changed."""
    monkeypatch.setattr("sys.argv", ["robustness", str(tmp_path), "--out", "never.json"])
    monkeypatch.setattr(robustness, "write_images", pytest.fail)
    with pytest.raises(SystemExit, match="2"):
        robustness.main()
    assert f"{tmp_path} is no run folder: " in capsys.readouterr().err
