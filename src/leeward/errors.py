"""Every failure that Leeward can name."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field of a request."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class LeewardError(Exception):
    """A failure with a stable code, one sentence of what, and a hint of what to do next.

    `message` is lower case, has no full stop, and quotes the user's own value.
    """

    code = "error"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def as_dict(self) -> dict[str, str]:
        """The value that is stored with a failed deploy and shown to the user."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class Invalid(LeewardError):
    """The request is wrong; every problem is named at once."""

    code = "invalid"
    status = 422
    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str, *, hint: str = "", code: str | None = None) -> None:
        self.problems = (Problem("", problems, hint),) if isinstance(problems, str) else tuple(problems)
        first_hint = next((problem.hint for problem in self.problems if problem.hint), "")
        super().__init__("; ".join(str(problem) for problem in self.problems), hint=hint or first_hint, code=code)


class NotFound(LeewardError):
    """The named thing does not exist, or the caller may not know of it."""

    code = "not-found"
    status = 404
    exit_code = 2


class Conflict(LeewardError):
    """The request is right, but not in the present state."""

    code = "conflict"
    status = 409
    exit_code = 1


class Unauthorized(LeewardError):
    """Nobody is signed in, or the token is wrong, expired or revoked."""

    code = "unauthorized"
    status = 401
    exit_code = 2


class Forbidden(LeewardError):
    """The caller is known and may not do this."""

    code = "forbidden"
    status = 403
    exit_code = 2


class TooMany(LeewardError):
    """A rate limit or quota is used up; `retry_after_s` seconds later it may work."""

    code = "too-many"
    status = 429
    exit_code = 1

    def __init__(self, message: str, *, retry_after_s: int = 60, hint: str = "", code: str | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class TooLarge(LeewardError):
    """What was sent is over a size limit."""

    code = "too-large"
    status = 413
    exit_code = 2


class Unavailable(LeewardError):
    """A part of the world that we need did not answer; the next tick tries again."""

    code = "unavailable"
    status = 503
    exit_code = 3


class Barred(Unavailable):
    """Something of others that has to agree to all that we do did not answer; tried again, but not for long."""

    code = "barred"


class StepFailed(LeewardError):
    """A deploy cannot go on; the release that was live stays live. Not worth trying again."""

    code = "step-failed"
    status = 409


class FetchFailed(StepFailed):
    """The source could not be had."""

    code = "fetch-failed"


class PlanFailed(StepFailed):
    """No way to build this source was found."""

    code = "plan-failed"


class BuildFailed(StepFailed):
    """The build ended with an error or went over a bound."""

    code = "build-failed"


class PushFailed(StepFailed):
    """The registry refused the image."""

    code = "push-failed"


class RolloutFailed(StepFailed):
    """The new instances did not become healthy in time."""

    code = "rollout-failed"


class Cancelled(StepFailed):
    """Somebody cancelled the deploy, or a newer one took its place."""

    code = "cancelled"
