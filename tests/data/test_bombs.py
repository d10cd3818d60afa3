import zipfile
from pathlib import Path

import pytest

from lenet_multi.data.bombs import refuse_bomb, refuse_bombs_in
from lenet_multi.errors import UserError


def test_what_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """A file that unpacks to over 100 times its size is refused, above a size any machine holds."""
    path = tmp_path / "small.gz"
    path.write_bytes(bytes(2**20))
    refuse_bomb(path, 100 * 2**20)
    with pytest.raises(UserError, match=r"small\.gz announces 104,857,601 bytes, over 100 times"):
        refuse_bomb(path, 100 * 2**20 + 1)
    path.write_bytes(b"")
    refuse_bomb(path, 64 * 2**20)


def test_more_packed_bytes_than_the_file_has_are_refused(tmp_path: Path) -> None:
    """A zip member is refused if it claims more packed bytes than the file has.

    Python would allocate that memory before it finds the end of the file.
    """
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        (member,) = members = archive.infolist()
    refuse_bombs_in(path, members)
    member.compress_size = 2**31
    with pytest.raises(UserError, match=r"model\.keras is damaged: 2,147,483,648 bytes announced"):
        refuse_bombs_in(path, members)
