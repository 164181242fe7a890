"""The list of versions that can be had."""

from dataclasses import replace
from datetime import date

import pytest

from leeward.builders import catalogue
from leeward.builders.catalogue import AS_OF, GO, NODE, PHP, RUBY, Offer, Tool
from leeward.builders.recipes import RECIPES
from leeward.builders.versions import choose

TOOLS = sorted((value for value in vars(catalogue).values() if isinstance(value, Tool)), key=lambda tool: tool.name)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_versions_are_listed_oldest_first_with_days_that_are_days(tool: Tool) -> None:
    fulls = [offer.full for offer in tool.offers]

    assert fulls == sorted(set(fulls))
    assert all(date.fromisoformat(day) for offer in tool.offers for day in (offer.eol, offer.kept) if day)
    assert all(offer.name == ".".join(map(str, offer.full[: offer.name.count(".") + 1])) for offer in tool.offers)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_what_nobody_asked_for_gets_fixes_for_a_long_time(tool: Tool) -> None:
    usual = tool.offer(tool.usual)

    assert usual is not None
    assert usual.supported and not usual.ending
    assert choose(tool, (), {}).diagnostics == ()


def test_nearly_all_versions_say_when_their_support_ends() -> None:
    silent = {(tool.name, offer.name) for tool in TOOLS for offer in tool.offers if not offer.eol}

    assert silent == {("deno", "2.9"), ("elixir", "1.18"), ("rust", "1.97")}


@pytest.mark.parametrize(
    ("tool", "suffixes"),
    [
        (catalogue.PYTHON, ("", "-build")),
        (NODE, ("", "-build")),
        (PHP, ("", "-build")),
        (RUBY, ("", "-build")),
        (catalogue.JAVA, ("", "-build")),
        (catalogue.ELIXIR, ("", "-build")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_version_has_its_base_images(tool: Tool, suffixes: tuple[str, ...]) -> None:
    wanted = {f"{tool.name}{offer.name}{suffix}" for offer in tool.offers for suffix in suffixes}

    assert wanted <= set(RECIPES)


def test_debian_keeps_a_version_that_its_makers_gave_up() -> None:
    offer = GO.offer("1.24")

    assert offer is not None
    assert offer.eol < AS_OF < offer.until == offer.kept
    assert offer.supported


@pytest.mark.parametrize(
    ("day", "codes"),
    [("2024-04-01", {"x-old"}), (AS_OF, {"x-old"}), ("2027-01-31", {"x-ending"}), ("2030-01-01", set()), ("", set())],
)
def test_the_end_of_support_is_told_with_its_day(day: str, codes: set[str]) -> None:
    tool = Tool("x", (Offer("1", (1, 0, 0), day), Offer("2", (2, 0, 0), "2031-01-01")), usual="2")

    notes = choose(tool, (), {"x": "1"}).diagnostics

    assert {note.code for note in notes} == codes
    assert all(day in note.text and "x 2" in note.fix for note in notes)


def test_a_version_of_the_last_release_stays_when_the_usual_one_changes() -> None:
    newer = replace(PHP, usual="8.4")

    assert choose(newer, (), {"php": "8.2"}).name == "8.2"
    assert choose(newer, (), {}).name == "8.4"
