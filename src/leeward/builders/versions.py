"""Choose the version of a tool from what was asked for.

The first demand wins: variable, manifest, files, then what the app had before, then the usual one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from leeward.builders.catalogue import Offer, Tool
from leeward.errors import PlanFailed
from leeward.model.build import Decision, Diagnostic, Evidence

# The reason when nobody asks for anything.
USUAL = "usual version"
# Said of a remembered version that comes from a look at the index: `{"python": "3.11", "python wheels": "yes"}`.
WHEELS = "wheels"

Accepts = Callable[[Offer], bool]


@dataclass(frozen=True, slots=True)
class Demand:
    """What somebody asks of a version. A `pin` names one version, and may give way to a range that is there too."""

    text: str
    accepts: Accepts
    evidence: Evidence
    pin: bool = False
    soft: bool = False
    """A soft demand is a piece of advice: it narrows the choice, and never makes a plan fail."""
    unread: bool = False
    """What it asks for is of another kind than the catalogue's versions: it is passed over, with a warning."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The version, why, and what the user should know of it."""

    name: str
    decision: Decision
    diagnostics: tuple[Diagnostic, ...] = ()


def choose(tool: Tool, demands: Sequence[Demand], remembered: Mapping[str, str]) -> Chosen:
    """The version that the first demand allows. Raises PlanFailed saying what there is when it allows none."""
    notes = [_unread(tool, demand) for demand in demands if demand.unread]
    demands = [demand for demand in demands if not demand.unread]
    hard = [demand for demand in demands if not demand.soft]
    first = hard[0] if hard else None
    allowed = [offer for offer in tool.offers if not first or first.accepts(offer)]
    if first and not allowed:
        allowed, note = _nearest(tool, first, hard[1:])
        notes.append(note)
    because = [first.evidence] if first else []
    for demand in demands:
        narrowed = [offer for offer in allowed if demand.accepts(offer)]
        if demand.soft and narrowed and narrowed != allowed:
            allowed = narrowed
            because.append(demand.evidence)
    offer, reason = _preferred(tool, allowed, remembered)
    if len(allowed) > 1 or not because:
        because.append(Evidence(reason))
    notes += _ended(tool, offer)
    others = tuple(name for name in tool.names if name != offer.name)
    return Chosen(offer.name, Decision(f"{tool.name} version", offer.name, tuple(because), others), tuple(notes))


def _ended(tool: Tool, offer: Offer) -> list[Diagnostic]:
    """What to say of a version whose fixes have ended, or end soon; the day is the catalogue's."""
    if offer.supported and not offer.ending:
        return []
    newest = next((each for each in reversed(tool.offers) if each.supported and not each.ending), offer)
    better = tool.offer(tool.usual) or offer
    target = better if better.supported and better.full > offer.full else newest
    fix = f"move to {tool.name} {target.name}" if target is not offer else "keep an eye on its successor"
    if offer.supported:
        what = f"{tool.name} {offer.name} gets fixes until {offer.until} only"
        return [Diagnostic("info", f"{tool.name}-ending", what, fix)]
    what = f"{tool.name} {offer.name} gets no more fixes from its makers since {offer.until}"
    return [Diagnostic("warning", f"{tool.name}-old", what, fix)]


def _preferred(tool: Tool, allowed: Sequence[Offer], remembered: Mapping[str, str]) -> tuple[Offer, str]:
    looked = f"{tool.name} {WHEELS}" in remembered
    known = "newest with wheels for all requirements" if looked else "version of the last release"
    for name, reason in ((remembered.get(tool.name), known), (tool.usual, USUAL)):
        for offer in allowed:
            if offer.name == name:
                return offer, reason
    return next((offer for offer in reversed(allowed) if offer.supported), allowed[-1]), "newest that is allowed"


def _nearest(tool: Tool, pin: Demand, others: Sequence[Demand]) -> tuple[list[Offer], Diagnostic]:
    """Instead of a pin that cannot be had: the nearest version that the other demands allow, with a warning."""
    ranges = [demand for demand in others if not demand.pin]
    allowed = [offer for offer in tool.offers if ranges and all(demand.accepts(offer) for demand in ranges)]
    if not pin.pin or not allowed:
        raise PlanFailed(
            f"{tool.name} '{pin.text}' ({pin.evidence.file}{_line(pin.evidence)}) is not available: there are "
            f"{', '.join(tool.names)}",
            hint=f"ask for one of these there, or set the variable PLAN_{tool.name.upper()}_VERSION",
            code=f"{tool.name}-version",
        )
    wanted = numbers(pin.text)
    best = min(allowed, key=lambda offer: (_distance(offer, wanted), [-part for part in offer.full]))
    note = Diagnostic(
        "warning",
        f"{tool.name}-nearest",
        f"{tool.name} '{pin.text}' ({pin.evidence.file}{_line(pin.evidence)}) is not available: {best.name} is the "
        f"nearest that '{ranges[0].text}' ({ranges[0].evidence.file}) allows",
        f"ask for {best.name} there",
    )
    return [best], note


def never(offer: Offer) -> bool:
    """Accepts nothing."""
    return False


def _unread(tool: Tool, demand: Demand) -> Diagnostic:
    place = f"{demand.evidence.file}{_line(demand.evidence)}"
    text = f"{tool.name} '{demand.text}' ({place}) is none of those that there are, and is passed over"
    return Diagnostic("warning", f"{tool.name}-unread", text, f"ask for one of {', '.join(tool.names)} there")


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version's text, as far as they go."""
    parts: list[int] = []
    for part in text.strip().lstrip("vV=").split("."):
        if not (part.isascii() and part.isdigit()) or len(part) > 9:
            break
        parts.append(int(part))
    return tuple(parts)


def pinned(text: str, places: int) -> Accepts | None:
    """Accepts the offer with the same first numbers; patches are the maker's business. None when it is no version."""
    wanted = numbers(text)[:places]
    if not wanted:
        return None
    return lambda offer: offer.full[: len(wanted)] == wanted


def _distance(offer: Offer, wanted: tuple[int, ...]) -> int:
    pairs = zip(offer.full[:2], (*wanted, 0, 0)[:2], strict=True)
    return sum(abs(have - want) * weight for (have, want), weight in zip(pairs, (1000, 1), strict=True))


def _line(evidence: Evidence) -> str:
    return f":{evidence.line}" if evidence.line else ""
