import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.refusals import Refusal
from serving.uploads import MAX_PARTS, Upload, read_file, read_files

TYPE = "multipart/form-data; boundary=edge"


def part(content: bytes, disposition: str = 'form-data; name="files"; filename="a.png"') -> bytes:
    return b"--edge\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def read(
    body: bytes, *, content_type: str = TYPE, step: int = 7, max_files: int = 3, max_file: int = 100
) -> list[Upload]:
    """Read a body that arrives in pieces of `step` bytes."""

    async def pieces():
        for start in range(0, len(body), step):
            yield body[start : start + step]

    return asyncio.run(
        read_files(content_type, pieces(), name="files", max_files=max_files, max_file=max_file)
    )


def refusal(body: bytes, **options) -> Refusal:
    with pytest.raises(Refusal) as refused:
        read(body, **options)
    return refused.value


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=3), st.integers(1, 50))
def test_files_arrive_whole_however_they_are_cut(contents, step):
    body = b"".join(part(content) for content in contents) + b"--edge--\r\n"
    if any(b"--edge" in content for content in contents):
        return
    assert [bytes(file.data) for file in read(body, step=step)] == contents


@given(st.binary(max_size=60) | st.text("\r\n-edg", max_size=60).map(str.encode), st.integers(1, 50))
def test_what_stands_before_the_first_part_and_behind_the_last_is_passed_over(around, step):
    if b"\r\n--edge" in b"\r\n" + around + b"\r\n":
        return
    body = around + b"\r\n" + part(b"one") + part(b"two") + b"--edge--\r\n" + around
    assert [bytes(file.data) for file in read(body, step=step)] == [b"one", b"two"]


@pytest.mark.parametrize("cut", [1, 3, 5, 9, 12, 40])
def test_a_body_without_its_final_boundary_is_refused(cut):
    body = part(b"one") + part(b"two") + b"--edge--"
    assert refusal(body[:-cut]).kind.name == "malformed-body"


@given(st.binary(max_size=300) | st.text('\r\n-edg: ;="files', max_size=200).map(str.encode))
def test_any_bytes_are_files_or_a_refusal(body):
    for data in (body, b"--edge\r\n" + body, part(body)):
        with contextlib.suppress(Refusal):
            assert read(data)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", f"{TYPE}{'x' * 300}"]
)
def test_a_missing_or_absurd_boundary_is_refused(content_type):
    assert refusal(part(b"one"), content_type=content_type).kind.name == "malformed-body"


def test_of_a_file_above_its_limit_only_the_size_is_kept():
    body = part(b"x" * 100) + part(b"x" * 101) + b"--edge--"
    first, second = read(body)
    assert (first.whole, second.whole) == (True, False)
    assert (second.size, bytes(second.data)) == (101, b"")


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_a_body_that_is_the_file_is_read_whole_or_not_kept(pieces):
    async def body():
        for piece in pieces:
            yield piece

    file = asyncio.run(read_file(body(), 100))
    sent = b"".join(pieces)
    assert file.filename is None
    assert (file.size, file.whole) == (len(sent), len(sent) <= 100)
    assert bytes(file.data) == (sent if file.whole else b"")


def test_more_files_than_allowed_are_refused():
    assert refusal(part(b"x") * 4 + b"--edge--").errors[0].code == "too_many"


def test_a_flood_of_parts_is_not_read_to_its_end():
    endless = part(b"x") * (MAX_PARTS + 1)  # and no final boundary, which would else be the complaint
    assert refusal(endless).errors[0].code == "too_many"


@pytest.mark.parametrize(
    ("disposition", "code"),
    [
        ('form-data; name="files"', "not_a_file"),
        ('form-data; name="file"; filename="a.png"', "unknown_part"),
        ("form-data", "unknown_part"),
    ],
)
def test_a_part_that_is_no_file_of_ours_is_refused(disposition, code):
    refused = refusal(part(b"x", disposition) + b"--edge--")
    assert "-F files=@card.png" in refused.errors[0].detail
    assert refused.kind.name == "validation"
    assert refused.errors[0].code == code


def test_a_part_without_a_name_does_not_take_the_name_of_the_one_before():
    bare = b"--edge\r\nContent-Type: image/png\r\n\r\ntwo\r\n"
    assert refusal(part(b"one") + bare + b"--edge--").errors[0].code == "unknown_part"


def test_no_file_at_all_is_told():
    assert "The request has no file" in refusal(b"--edge--\r\n").detail


def test_of_several_broken_rules_each_is_told():
    body = part(b"x", 'form-data; name="files"') + part(b"x", 'form-data; name="other"') + b"--edge--"
    assert [fault.code for fault in refusal(body).errors] == ["not_a_file", "unknown_part"]


def test_of_an_endless_name_the_beginning_is_kept():
    (file,) = read(part(b"x", f'form-data; name="files"; filename="{"n" * 300}"') + b"--edge--")
    assert file.filename == "n" * 255


def test_a_charset_of_the_clients_choice_cannot_upset_the_names():
    body = part(b"x", 'form-data; name="files"; filename="\\ud800.png"') + b"--edge--"
    (file,) = read(body, content_type=f"{TYPE}; charset=unicode_escape")
    assert file.filename
    assert file.filename.encode()
