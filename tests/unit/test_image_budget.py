"""Which images stay within the budget, and which stay whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from leeward.model.image import Held
from leeward.plan.images import spare

MB = 1_000_000
SIZES = {"base": 100 * MB, "deps": 30 * MB, "a": MB, "b": 2 * MB, "c": 3 * MB, "d": 5 * MB}


def image(number: int, *parts: str) -> Held:
    return Held("shop", f"shop@{number}", float(number), tuple((part, SIZES[part]) for part in parts))


def weight(images: list[Held]) -> int:
    return sum({part: size for one in images for part, size in one.parts}.values())


def test_all_stays_while_there_is_room() -> None:
    images = [image(1, "base", "a"), image(2, "base", "b")]

    sparing = spare(images, frozenset(), 103 * MB)

    assert sparing.keep == {"shop@1", "shop@2"}
    assert (sparing.before, sparing.after, sparing.over) == (103 * MB, 103 * MB, "")


def test_the_oldest_go_first_until_the_rest_fits() -> None:
    images = [image(3, "base", "c"), image(1, "base", "a"), image(2, "base", "b")]

    assert spare(images, frozenset(), 105 * MB).keep == {"shop@2", "shop@3"}
    assert spare(images, frozenset(), 103 * MB).keep == {"shop@3"}


def test_a_part_that_others_share_is_freed_with_the_last_of_them() -> None:
    images = [image(1, "base", "deps"), image(2, "base", "deps", "a"), image(3, "base", "b")]

    sparing = spare(images, frozenset({"shop@3"}), 132 * MB)

    assert sparing.keep == {"shop@3"}, "without the second, the first alone would free nothing"
    assert sparing.after == 102 * MB


def test_what_is_protected_stays_and_is_told_when_it_is_too_much() -> None:
    images = [image(1, "base", "a"), image(2, "deps", "b"), image(3, "base", "c")]

    sparing = spare(images, frozenset({"shop@1", "shop@3"}), 50 * MB)

    assert sparing.keep == {"shop@1", "shop@2", "shop@3"}
    assert sparing.over == (
        "the 2 images that rollbacks need take 104 MB, more than the budget of 50 MB: "
        "nothing is removed; raise LEEWARD_IMAGES_MIB or lower LEEWARD_KEEP_RELEASES"
    )


stock = st.lists(st.tuples(st.integers(0, 20), st.sets(st.sampled_from(sorted(SIZES)), min_size=1)), max_size=12).map(
    lambda found: [
        Held("shop", f"shop@{n}", float(made), tuple((part, SIZES[part]) for part in sorted(parts)))
        for n, (made, parts) in enumerate(found)
    ]
)


@given(stock, st.sets(st.integers(0, 11)), st.integers(0, 150).map(lambda mb: mb * MB))
def test_the_budget_is_kept_exactly(images: list[Held], chosen: set[int], budget: int) -> None:
    protected = frozenset(f"shop@{n}" for n in chosen)

    sparing = spare(images, protected, budget)

    stay = [one for one in images if one.reference in sparing.keep]
    gone = [one for one in images if one.reference not in sparing.keep]
    assert not protected & {one.reference for one in gone}
    assert sparing.after == weight(stay)
    assert sparing.before == weight(images)
    floor = weight([one for one in images if one.reference in protected])
    assert bool(sparing.over) == (floor > budget)
    if sparing.over:
        assert not gone
        return
    assert weight(stay) <= budget
    # Nothing went that could have stayed: with the last one that went, it would be too much.
    if gone:
        last = max(gone, key=lambda one: (one.made, one.reference))
        assert weight([*stay, last]) > budget
    older = max(((one.made, one.reference) for one in gone), default=(-1.0, ""))
    assert all((one.made, one.reference) > older for one in stay if one.reference not in protected)
