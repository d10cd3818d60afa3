import base64
import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from lenet_multi.commands.report import pictures
from lenet_multi.errors import UserError
from tests.commands.report.material import of_data, picture_data


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
def test_a_picture_keeps_its_pixels(channels: int) -> None:
    """The PNG in the data URI holds the image's pixels."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    with mpl.rc_context({"savefig.format": "jpg"}):  # a user's own choice for figures
        kind, _, code = pictures.data_uri(image).partition(",")
    assert kind == "data:image/png;base64"
    decoded = matplotlib.image.imread(io.BytesIO(base64.b64decode(code)), format="png")
    shown = np.rint(decoded[..., :3] * 255).astype(int)
    np.testing.assert_array_equal(shown, np.broadcast_to(image, (5, 7, 3)))


def test_a_large_image_becomes_a_small_picture() -> None:
    """A photograph becomes a small picture, so the page stays small."""
    image = np.random.default_rng(0).integers(0, 256, (640, 480, 3), np.uint8)
    assert len(pictures.data_uri(image)) < 20_000


def test_images_are_those_the_run_saw(tmp_path: Path) -> None:
    """Images with other bytes, or another number of images, are refused."""
    path = picture_data(tmp_path)
    assert len(pictures.test_images(of_data(path).result)) == 1000
    for change in ({"data_sha256": "0" * 64}, {"test_images": 999}):
        with pytest.raises(UserError, match="has changed since the run; put"):
            pictures.test_images(of_data(path, **change).result)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    """Images with two channels are refused, because they have no colours."""
    images, labels = np.zeros((1000, 4, 4, 2), np.uint8), np.zeros(1000, np.uint8)
    path = tmp_path / "two.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(UserError, match=r"two\.npz must hold images of 1 or 3 channels"):
        pictures.test_images(of_data(path).result)


def test_pictures_start_no_code_of_a_run(tmp_path: Path) -> None:
    """A run of a user's own classifier gets a page without pictures, which says why."""
    run = of_data(picture_data(tmp_path))
    run.result.config["architecture"] = "evil.py:build"
    with pytest.raises(UserError, match=r"^the run is of evil.py:build, whose code a saved run"):
        pictures.test_images(run.result)
