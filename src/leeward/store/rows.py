"""Model values to rows, and back. Pure."""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from leeward.model.app import AppSpec, Instances
from leeward.model.release import Deploy, DeployKind, DeployStatus, Phase, Receipt, SourceRef, Step
from leeward.model.secret import Env, Secret, Variable
from leeward.model.sizes import Size
from leeward.model.wish import App, Override


@functools.lru_cache(maxsize=1024)
def spec(text: str) -> AppSpec:
    """A spec from its stored text; equal texts share one value, since a spec is never changed."""
    return AppSpec.model_validate_json(text)


def seconds(at: datetime | None) -> float | None:
    """Unix seconds; exact to the microsecond."""
    return None if at is None else at.timestamp()


def moment(at: float | None) -> datetime | None:
    """The same moment, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def dump(value: Any) -> str:
    """JSON text, with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def clean(text: str) -> str:
    """Text that any database takes: no lone surrogates (of names with wrong bytes), no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def texts(text: str) -> tuple[str, ...]:
    """A list of texts from JSON text."""
    return tuple(json.loads(text))


def env_text(env: Env) -> str:
    """An environment as JSON text: to be sealed before it is stored."""
    return dump([[variable.key, variable.value.reveal(), variable.secret] for variable in env])


def env_of(text: str) -> Env:
    """An environment from JSON text."""
    return tuple(Variable(key, Secret(value), secret) for key, value, secret in json.loads(text))


def app_row(app: App, source: str | None) -> dict[str, Any]:
    """The columns of an app, but for the sealed webhook secret; `source` is its text."""
    return {
        "name": app.name,
        "project": app.project,
        "spec": app.spec.model_dump_json(),
        "overrides": dump({process: _override_value(override) for process, override in app.overrides.items()}),
        "domains": dump(list(app.domains)),
        "source": source,
        "live": app.live,
        "generation": app.generation,
        "cache_generation": app.cache_generation,
        "hook_digest": app.hook_digest,
        "versions": dump(dict(app.versions)),
        "deleted": app.deleted,
        "created_at": seconds(app.created_at),
    }


def app_of(row: Any, source: SourceRef | None, webhook_secret: Secret | None) -> App:
    """An app from its row."""
    return App(
        name=row.name,
        project=row.project,
        spec=spec(row.spec),
        overrides={process: _override_of(value) for process, value in json.loads(row.overrides).items()},
        domains=texts(row.domains),
        source=source,
        live=row.live,
        generation=row.generation,
        cache_generation=row.cache_generation,
        hook_digest=row.hook_digest,
        webhook_secret=webhook_secret,
        versions=json.loads(row.versions),
        deleted=bool(row.deleted),
        created_at=moment(row.created_at),
    )


def _override_value(override: Override) -> dict[str, Any]:
    return {
        "instances": override.instances.model_dump() if override.instances else None,
        "size": override.size,
    }


def _override_of(value: Mapping[str, Any]) -> Override:
    return Override(
        instances=Instances.model_validate(value["instances"]) if value["instances"] else None,
        size=Size(value["size"]) if value["size"] else None,
    )


def progress_row(deploy: Deploy) -> dict[str, Any]:
    """The columns of a deploy that its owner writes."""
    return {
        "status": deploy.status.value,
        "phase": deploy.phase.value,
        "release": deploy.release,
        "commit": deploy.commit,
        "message": clean(deploy.message),
        "error": None if deploy.error is None else dump(dict(deploy.error)),
        "receipt": receipt_text(deploy.receipt),
        "carry": dump(dict(deploy.carry)),
        "ended_at": seconds(deploy.ended_at),
    }


def deploy_row(deploy: Deploy, source: str | None) -> dict[str, Any]:
    """The columns of a new deploy; `source` is the text of its source."""
    return {
        **progress_row(deploy),
        "id": deploy.id,
        "app": deploy.app,
        "kind": deploy.kind.value,
        "source": source,
        "actor": deploy.actor,
        "cancel": deploy.cancel,
        "created_at": seconds(deploy.created_at),
    }


def deploy_of(row: Any, source: SourceRef | None, steps: tuple[Step, ...]) -> Deploy:
    """A deploy from its row, source and timeline."""
    assert source is not None  # the column is NOT NULL
    return Deploy(
        id=row.id,
        app=row.app,
        kind=DeployKind(row.kind),
        source=source,
        status=DeployStatus(row.status),
        phase=Phase(row.phase),
        release=row.release,
        commit=row.commit,
        message=row.message,
        actor=row.actor,
        cancel=bool(row.cancel),
        error=None if row.error is None else json.loads(row.error),
        receipt=None if row.receipt is None else Receipt(**json.loads(row.receipt)),
        steps=steps,
        carry=json.loads(row.carry),
        created_at=moment(row.created_at),
        ended_at=moment(row.ended_at),
    )


def receipt_text(receipt: Receipt | None) -> str | None:
    """A receipt as JSON text."""
    return None if receipt is None else dump(receipt.as_dict())


def step_of(row: Any) -> Step:
    """One line of a timeline from its row."""
    started_at = moment(row.started_at)
    assert started_at is not None  # the column is NOT NULL
    return Step(Phase(row.phase), started_at, moment(row.ended_at), row.detail)
