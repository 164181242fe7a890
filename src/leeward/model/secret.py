"""A value that must not be printed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret text: prints as stars; `reveal()` is called only where it leaves the platform."""

    _value: str

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __str__(self) -> str:
        return "********"

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of an app; `secret` values are encrypted at rest and masked in every answer."""

    key: str
    value: Secret
    secret: bool = False

    @property
    def shown(self) -> str:
        """What may be printed."""
        return str(self.value) if self.secret else self.value.reveal()


Env = tuple[Variable, ...]


def revealed(env: Env) -> dict[str, str]:
    """The variables as a process gets them."""
    return {variable.key: variable.value.reveal() for variable in env}
