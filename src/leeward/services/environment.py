"""The variables of an app that its owner sets."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from leeward.errors import Invalid, Problem
from leeward.model.access import Caller, Scope
from leeward.model.app import ENV_KEY
from leeward.model.release import Deploy, DeployKind
from leeward.model.secret import Env, Secret, Variable
from leeward.services.context import Context, require
from leeward.services.deploys import Deploys

# A process gets all of them in one block; Linux allows 128 KiB for one text, and about 2 MiB for all.
VALUE_MAX_BYTES = 64 * 1024
VARIABLES_MAX = 500
# What the platform itself says to a process.
INJECTED = frozenset({"PORT"})


class Environment:
    """Variables; a change makes a release of its own, so that a rollback brings them back."""

    def __init__(self, context: Context, deploys: Deploys) -> None:
        self._context = context
        self._stores = context.stores
        self._deploys = deploys

    async def list(self, app: str) -> Env:
        """The variables set by `lee env set`, by key; `Variable.shown` is what may be printed. Raises NotFound."""
        await self._stores.apps.get(app)
        return await self._stores.apps.env(app)

    async def change(
        self,
        caller: Caller,
        app: str,
        set: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
    ) -> tuple[Env, Deploy | None]:
        """Add, change and remove variables at once; the deploy is None when nothing is live or nothing changed.

        Raises Invalid that names every wrong variable, NotFound.
        """
        require(caller, Scope.DEPLOY)
        wish = await self._context.standing(app)
        old = await self._stores.apps.env(app)
        put = wanted(set or {}, secrets or {}, unset, old)
        kept = tuple(variable for variable in old if variable.key not in unset)
        changed = tuple(variable for variable in put if variable not in kept)
        if not changed and not unset:
            return old, None
        new = await self._stores.apps.set_env(app, changed, tuple(unset))
        said = ", ".join([f"set {variable.key}" for variable in changed] + [f"unset {key}" for key in unset])
        await self._context.note(caller, "env.changed", f"variables of '{app}' changed: {said}", app)
        if wish.live is None:
            return new, None
        return new, await self._deploys.renew(caller, wish, DeployKind.ENV, said)


def wanted(set: Mapping[str, str], secrets: Mapping[str, str], unset: Sequence[str], old: Env) -> Env:
    """The variables that a change puts. Raises Invalid that names every wrong one."""
    put = [Variable(key, Secret(value), key in secrets) for key, value in {**set, **secrets}.items()]
    known = [variable.key for variable in old]
    problems = [problem for variable in put for problem in _problems(variable)]
    for key in sorted(set.keys() & secrets.keys()):
        problems.append(Problem(f"secrets/{key}", "is in 'set' too", "say it once"))
    for key in unset:
        if key in set or key in secrets:
            problems.append(Problem(f"unset/{key}", "is set by the same request", "say it once"))
        elif key not in known:
            close = get_close_matches(key, known, n=1)
            problems.append(
                Problem(f"unset/{key}", f"'{key}' is not set", f"did you mean '{close[0]}'?" if close else "")
            )
    if len({*known, *(variable.key for variable in put)}) > VARIABLES_MAX:
        problems.append(Problem("set", f"an app has at most {VARIABLES_MAX} variables"))
    if problems:
        raise Invalid(problems)
    return tuple(put)


def _problems(variable: Variable) -> list[Problem]:
    """What is wrong with one variable; never says its value."""
    key, path = variable.key, f"{'secrets' if variable.secret else 'set'}/{variable.key[:200]}"
    found = []
    if not ENV_KEY.fullmatch(key):
        found.append(Problem(path, f"'{key[:200]}' is not the name of a variable: use letters, digits and '_'"))
    if key in INJECTED:
        found.append(Problem(path, f"'{key}' is set by the platform", "read it instead: listen on $PORT"))
    if "\0" in variable.value.reveal():
        found.append(Problem(path, f"the value of '{key}' has a NUL byte in it"))
    if (size := len(variable.value.reveal().encode(errors="replace"))) > VALUE_MAX_BYTES:
        found.append(Problem(path, f"the value of '{key}' is {size} bytes long, more than {VALUE_MAX_BYTES}"))
    return found
