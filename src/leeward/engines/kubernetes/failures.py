"""Turn what the API server refuses into failures of ours. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from leeward.engines.kubernetes.reasons import refused, unasked
from leeward.errors import Barred, Conflict, Forbidden, LeewardError, NotFound, RolloutFailed, Unavailable

_MAY_NOT = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"(?: in API group "(?P<group>[^"]*)")?(?P<where>.*)'
)


class Gone(Unavailable):
    """The server no longer knows what happened since then: look at everything again."""


def failure(status: int, body: Mapping[str, Any], region: str, what: str) -> LeewardError:
    """The failure for an answer of the API server; `what` names the object that was asked for."""
    message = " ".join(str(body.get("message") or body.get("reason") or "").split())
    code = status or int(body.get("code") or 500)
    if "admission webhook" in message and "denied the request" in message:
        # With whatever status it likes.
        reason, hint = refused("", message)
        return RolloutFailed(f"{what}: {reason}", hint=hint)
    if code == 401:
        return Unavailable(
            f"the cluster of region '{region}' does not accept our credentials",
            hint="they may have expired: give it a new kubeconfig with `lee regions add`",
        )
    if code == 403:
        return _forbidden(message, region, what)
    if code == 404:
        return NotFound(f"there is no {what} in region '{region}'", hint="it may have been deleted just now")
    if code == 410 or (code == 504 and "Too large resource version" in message):
        return Gone(f"the cluster of region '{region}' forgot what happened since")
    if code == 409:
        return Conflict(f"{what} of region '{region}' was changed meanwhile: {message}", hint="it is tried again")
    if code in (400, 422):
        return RolloutFailed(f"{what}: refuses it: {message[:300]}", hint="see `lee doctor --region` of the region")
    away, hint = unasked(message)
    if away:
        return Barred(f"{what}: {away}", hint=hint)
    return Unavailable(
        f"the cluster of region '{region}' answered {code}" + (f": {message[:200]}" if message else ""),
        hint="it is tried again",
    )


def _forbidden(message: str, region: str, what: str) -> LeewardError:
    if "being terminated" in message:
        return Unavailable(f"the namespace of {what} is still being deleted", hint="it is tried again")
    if "exceeded quota" in message or "violates PodSecurity" in message:
        reason, hint = refused(what, message)
        return RolloutFailed(f"{what}: {reason}", hint=hint)
    if found := _MAY_NOT.search(message):
        resource = found["resource"] + (f".{found['group']}" if found["group"] else "")
        return Forbidden(
            f"the account of region '{region}' may not {found['verb']} '{resource}'",
            hint=f"grant it the verb '{found['verb']}' on the resource '{resource}'",
        )
    return Forbidden(f"the cluster of region '{region}' forbids {what}: {message[:300]}")


def unreachable(region: str, server: str, why: str) -> Unavailable:
    """It did not answer at all."""
    return Unavailable(
        f"the cluster of region '{region}' does not answer at '{server}' ({why})",
        hint="check that it runs and can be reached from here",
    )


def not_ours(kind: str, name: str, namespace: str) -> Conflict:
    """Somebody else made an object with a name that we need."""
    where = f" in namespace '{namespace}'" if namespace else ""
    return Conflict(
        f"{kind} '{name}'{where} exists and is not Leeward's",
        hint="delete or rename it, or choose another name: what others made is never taken over",
    )


_HOLDS = ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionDiscoveryFailure")


def still_deleted(kind: str, name: str, shown: Mapping[str, Any]) -> Unavailable:
    """An object on its way out stands where ours should; what keeps it is said as the cluster says it."""
    conditions = (shown.get("status") or {}).get("conditions") or ()
    held = [str(each.get("message", "")).rstrip(". ") for each in conditions if _holds(each)]
    finalizers = (shown.get("metadata") or {}).get("finalizers") or ()
    if not held and finalizers and kind != "Namespace":
        held = [f"it waits for {', '.join(finalizers)}"]
    what = f"{kind} '{name}' is still being deleted" + (f": {'; '.join(held)}"[:400] if held else "")
    hint = "whoever made what is left must let go of it; it is tried again" if held else "it is tried again"
    return Unavailable(what, hint=hint)


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") in _HOLDS and condition.get("status") == "True"
