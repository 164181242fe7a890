"""How many instances of each process run, of which size, and what that costs."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response

from leeward.errors import Invalid, LeewardError, Problem
from leeward.model.sizes import SIZES, Size
from leeward.services.views import AppView
from leeward.web import rendering
from leeward.web.door import Visit, given, to
from leeward.web.pages.overview import heading
from leeward.web.words import money

NUMBERS = ("min", "max", "cpu_percent")


class Offer(NamedTuple):
    """One size in words."""

    name: str
    cpu: str
    memory: str
    price: str


def offers() -> tuple[Offer, ...]:
    """Every size."""
    return tuple(
        Offer(
            size.value,
            f"{limits.millicpu / 1000:g} CPU",
            f"{limits.memory_mib / 1024:g} GiB" if limits.memory_mib >= 1024 else f"{limits.memory_mib} MiB",
            money(limits.usd_per_month),
        )
        for size, limits in SIZES.items()
    )


def price(size: str, low: int, high: int) -> str:
    """`$20 to $60 a month`."""
    each = SIZES[Size(size)].usd_per_month
    if low == high:
        return f"{money(each * low)} a month"
    return f"{money(each * low)} to {money(each * high)} a month"


async def index(visit: Visit) -> Response:
    """The processes with a form for each."""
    return await _page(visit)


async def _page(visit: Visit, error: LeewardError | None = None, typed: Mapping[str, str] | None = None) -> Response:
    app = await visit.services.apps.show(visit.app)
    shown = given(error, typed or {}) if error else {"typed": typed or {}}
    prices = {
        process.name: "by the second, while it runs"
        if process.schedule
        else price(process.size, process.min, process.max)
        for process in app.processes
    }
    return visit.page(
        "scale.html",
        **heading(visit, app, "scale"),
        offers=offers(),
        prices=prices,
        cannot=visit.cannot() or _cannot(app),
        **shown,
    )


def _cannot(app: AppView) -> str:
    if app.release is None:
        return "Nothing is live yet: deploy the app first."
    return ""


async def change(visit: Visit) -> Response:
    """Set the instances and the size of one process; the deploy that does it is shown."""
    typed = await visit.form()
    name = typed.get("process", "")
    if clock := typed.get("clock"):
        typed = {**typed, "min": clock, "max": clock}
    try:
        numbers = _numbers(typed)
        # Somebody who lowers nothing but the maximum's field wants one fixed number.
        deploy = await visit.services.apps.scale(visit.caller, visit.app, {name: numbers}, typed.get("size") or None)
    except LeewardError as error:
        return await _page(visit, error, typed)
    return to(f"/apps/{visit.app}/deploys/{deploy.id}")


def _numbers(typed: Mapping[str, str]) -> dict[str, int]:
    wrong = [key for key in NUMBERS if not typed.get(key, "").strip().isdecimal() or len(typed[key].strip()) > 6]
    if wrong:
        raise Invalid([Problem(key, f"must be a number, not '{typed.get(key, '')[:40]}'") for key in wrong])
    return {key: int(typed[key]) for key in NUMBERS}


async def quote(visit: Visit) -> Response:
    """What a choice would cost, while it is being made."""
    try:
        if visit.asked("clock"):
            return rendering.answer("_price.html", {"price": "by the second, while it runs"})
        numbers = _numbers({**{key: visit.asked(key) for key in NUMBERS}, "cpu_percent": "80"})
        text = price(visit.asked("size"), numbers["min"], max(numbers["min"], numbers["max"]))
    except (Invalid, ValueError):
        text = "–"
    return rendering.answer("_price.html", {"price": text})
