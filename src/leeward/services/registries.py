"""The logins at foreign registries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from leeward.errors import Invalid, Problem
from leeward.model.access import Caller, Scope
from leeward.model.login import HOST, Login, plain_host
from leeward.model.secret import Secret
from leeward.services.context import Context, require


@dataclass(frozen=True, slots=True)
class RegistryView:
    """A registry that the platform signs in to; never the password."""

    host: str
    username: str
    created_at: datetime | None


class Registries:
    """Who pulls images from where. A login serves every app: who may deploy may deploy what it can read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._logins = context.stores.logins

    async def list(self, caller: Caller) -> Sequence[RegistryView]:
        """All by host."""
        require(caller, Scope.DEPLOY)
        return tuple(RegistryView(login.host, login.username, login.created_at) for login in await self._logins.list())

    async def add(self, caller: Caller, host: str, username: str, password: Secret) -> RegistryView:
        """Add a login, or change that of a known host. Raises Invalid that names all that is wrong."""
        require(caller, Scope.ADMIN)
        host = plain_host(host)
        problems = []
        if not HOST.fullmatch(host) or len(host) > 255:
            problems.append(Problem("host", f"'{host[:100]}' is not the host of a registry", "write 'ghcr.io'"))
        if not username.strip() or not username.isprintable() or ":" in username:
            problems.append(Problem("username", f"'{username[:100]}' is not the name of a user", "it has no ':'"))
        if not password.reveal():
            problems.append(Problem("password", "must be set", "give it on standard input"))
        if problems:
            raise Invalid(problems)
        await self._logins.put(Login(host, username, password))
        await self._context.note(caller, "registry.added", f"login for registry '{host}' added", data={"host": host})
        found = await self._logins.find(host)
        return RegistryView(host, username, found.created_at if found else None)

    async def remove(self, caller: Caller, host: str) -> None:
        """Forget a login; what was pulled with it stays. Raises NotFound."""
        require(caller, Scope.ADMIN)
        host = plain_host(host)
        await self._logins.delete(host)
        await self._context.note(
            caller, "registry.removed", f"login for registry '{host}' removed", data={"host": host}
        )
