from pathlib import Path

import pytest

from lenet_multi.bombs import refuse_bomb
from lenet_multi.errors import UserError


def test_what_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """By name and size; what every machine has room for, or what is large itself, is not."""
    path = tmp_path / "small.gz"
    path.write_bytes(bytes(2**20))
    refuse_bomb(path, 100 * 2**20)
    with pytest.raises(UserError, match=r"small\.gz announces 104,857,601 bytes, over 100 times"):
        refuse_bomb(path, 100 * 2**20 + 1)
    path.write_bytes(b"")
    refuse_bomb(path, 64 * 2**20)
