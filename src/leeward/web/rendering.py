"""Templates to answers, with the headers that protect the browser."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse

from leeward.web import timeline, words
from leeward.web.assets import url_of

POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Pages hold what belongs to one person; the browser may keep none of them.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The templates, each compiled once."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals |= {
        "asset": url_of,
        "time": _time,
        "badge_of": words.badge,
        "kinds": words.KINDS,
        "timeline_of": timeline.timeline,
        "proof_of": timeline.proof,
        "title_of": timeline.title,
        "origin_of": timeline.origin,
        "spent_of": timeline.spent,
        "state_of": timeline.state,
        "rollback_text": timeline.rollback,
    }
    env.filters |= {
        "duration": words.duration,
        "amount": words.amount,
        "size": words.size,
        "money": words.money,
        "count": words.count,
        "sentence": words.sentence,
        "plain": words.plain,
        "host": words.host,
        "clock": words.clock,
        "said": words.said,
        "share": words.share,
    }
    return env


@pass_context
def _time(context: Context, then: datetime | None) -> Markup:
    """A `<time>` element with relative text, made here and not in the browser."""
    if then is None:
        return Markup("")
    relative = words.ago(then, context["now"])
    return Markup('<time datetime="{}" title="{}">{}</time>').format(then.isoformat(), words.exact(then), relative)


def html(template: str, context: Mapping[str, Any]) -> str:
    """The text of a page or fragment."""
    return templates().get_template(template).render(context)


def answer(template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page as it is sent."""
    return HTMLResponse(html(template, context), status, HEADERS)
