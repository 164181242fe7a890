"""What a push shows."""

from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from leeward.plan.sideband import FLUSH, packet, told

REPORT = b"%04x\x01" % (5 + len(b"000eunpack ok\n0000")) + b"000eunpack ok\n0000"
PROGRESS = packet("checking")


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def lines(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def whole(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in body])


@given(size=st.integers(1, 60))
async def test_lines_come_before_the_end_however_the_answer_is_cut(size: int) -> None:
    answer = PROGRESS + REPORT + FLUSH

    got = await whole(told(pieces(answer, size), lines("https://shop.lee.localhost", "live")))

    assert got == PROGRESS + REPORT + packet("https://shop.lee.localhost") + packet("live") + FLUSH


async def test_an_answer_without_bands_stays_as_it_is() -> None:
    plain = b"000eunpack ok\n" + FLUSH

    assert await whole(told(pieces(plain, 5), lines("no"))) == plain


@given(data=st.binary(max_size=80), size=st.integers(1, 20))
async def test_what_is_no_answer_of_git_goes_through_unchanged(data: bytes, size: int) -> None:
    got = await whole(told(pieces(data, size), lines()))

    assert got == data


async def test_a_packet_is_a_line_of_the_second_band() -> None:
    assert packet("hi") == b"0008\x02hi\n"
