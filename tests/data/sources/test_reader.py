import pytest

from lenet_multi.data.sources import reader
from lenet_multi.errors import UserError


def test_a_reader_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """If a reader fails, stderr shows its traceback, and the error says so."""
    with pytest.raises(UserError, match=r"--data nobody:digits: .* ended with status 1; see above"):
        reader.read("nobody", "digits")
    assert "No module named 'lenet_multi.data.sources.nobody'" in capfd.readouterr().err
