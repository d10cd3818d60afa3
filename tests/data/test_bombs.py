import zipfile
from pathlib import Path

import pytest

from lenet_multi.data.bombs import most_unpacked, refuse_bomb, refuse_bombs_in
from lenet_multi.errors import UserError


def test_what_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """A file that unpacks to over 100 times its size is refused, above a size any machine holds."""
    path = tmp_path / "small.gz"
    path.write_bytes(bytes(2**20))
    refuse_bomb(path, 100 * 2**20)
    with pytest.raises(UserError, match=r"small\.gz announces 104,857,601 bytes, over 100 times"):
        refuse_bomb(path, 100 * 2**20 + 1)
    assert most_unpacked(path) == 100 * 2**20
    path.write_bytes(b"")
    assert most_unpacked(path) == 64 * 2**20
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


def test_the_size_may_be_known_already() -> None:
    """Then no file is looked at; the message has both sizes and what to do."""
    refuse_bomb("no file", 2**30, 2**30)
    with pytest.raises(UserError) as refused:
        refuse_bomb("no file", 100 * 2**20 + 1, 2**20)
    assert str(refused.value) == (
        "no file announces 104,857,601 bytes, over 100 times its own 1,048,576: it is damaged or a "
        "decompression bomb; give its content unpacked"
    )


def archive(path: Path, kind: int, *names: str) -> list[zipfile.ZipInfo]:
    """Write an archive of members that are packed in one way; return them."""
    with zipfile.ZipFile(path, "w", kind) as file:
        for name in names:
            file.writestr(name, "x" * 999)
        return file.infolist()


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_unusual_way_of_packing_is_refused(tmp_path: Path, kind: int) -> None:
    """Only what NumPy and Keras do is unpacked; the first other member is named."""
    usual = archive(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, "first")
    odd = archive(tmp_path / "a.zip", kind, "second", "third")
    with pytest.raises(UserError) as refused:
        refuse_bombs_in(tmp_path / "a.zip", usual + odd)
    assert str(refused.value) == (
        f"{tmp_path / 'a.zip'} packs 'second' in an unusual way; pack it with deflate"
    )
    for ordinary in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        refuse_bombs_in(tmp_path / "a.zip", archive(tmp_path / "a.zip", ordinary, "first"))


def test_all_members_count_together(tmp_path: Path) -> None:
    """They may take as many packed bytes as the file has, and unpack to no more than a bomb."""
    members = archive(tmp_path / "a.zip", zipfile.ZIP_STORED, "first", "second")
    size = (tmp_path / "a.zip").stat().st_size
    members[0].compress_size = size - members[1].compress_size
    refuse_bombs_in(tmp_path / "a.zip", members)
    members[0].compress_size += 1
    with pytest.raises(UserError) as refused:
        refuse_bombs_in(tmp_path / "a.zip", members)
    assert str(refused.value) == (
        f"{tmp_path / 'a.zip'} is damaged: {size + 1:,} bytes announced, not {size:,}; copy it "
        "again"
    )
    members = archive(tmp_path / "a.zip", zipfile.ZIP_STORED, "first", "second")
    members[0].file_size = members[1].file_size = 40 * 2**20
    with pytest.raises(UserError, match="announces 83,886,080 bytes"):
        refuse_bombs_in(tmp_path / "a.zip", members)
