"""Read the access file of a cluster: what may be in it, and which of its contexts is meant.

It is sent to the platform as text, by whoever may add regions. It may name no files of the platform's machine, and no
commands but the sign-in helpers of clouds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from leeward.errors import Invalid

HELPERS = ("gke-gcloud-auth-plugin", "aws", "aws-iam-authenticator", "kubelogin", "doctl")
_VARIABLES = ("AWS_", "CLOUDSDK_", "GOOGLE_", "AZURE_", "AAD_", "USE_", "DIGITALOCEAN_")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_HINT = "give the file that `kubectl config view --raw --minify --flatten` prints"


@dataclass(frozen=True, slots=True)
class Manner:
    """How the cluster is spoken to, beside where and as whom."""

    proxy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def manner(text: str, single: SingleConfig) -> Manner:
    """The proxy that stands before the cluster, and whom the account acts for; what was read is known to be right."""
    document = yaml.safe_load(text) if text else {}
    cluster = _entry(document, "clusters", "cluster", str(single.context.cluster))
    user = _entry(document, "users", "user", str(single.context.user))
    headers = {"Impersonate-User": str(user["as"])} if user.get("as") else {}
    return Manner(str(cluster.get("proxy-url") or ""), headers)


def _entry(document: Mapping[str, Any], several: str, one: str, name: str) -> Mapping[str, Any]:
    found = (entry.get(one) for entry in document.get(several) or () if entry.get("name") == name)
    return next(found, None) or {}


def credentials(text: str, context: str) -> SingleConfig:
    """One context of an access file; without a text, the account of the pod that this runs in. Raises Invalid."""
    try:
        if not text:
            return _found(KubeConfig.from_service_account().get())
        document = yaml.safe_load(text)
        if not isinstance(document, dict):
            raise ValueError("it is no mapping")
        for wrong in refusals(document):
            raise ValueError(wrong)
        config = KubeConfig.from_dict(_older(document))
        if context and context not in config.contexts:
            there = ", ".join(sorted(config.contexts)) or "none"
            raise Invalid(f"the kubeconfig has no context '{context}', but {there}", hint="name one of those")
        return _found(config.get(context or None))
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Invalid(f"the kubeconfig cannot be read: {reason}", hint=_HINT) from error


def refusals(document: Mapping[str, Any]) -> Iterator[str]:
    """What may not be in it."""
    for entry in (*(document.get("clusters") or ()), *(document.get("users") or ())):
        held = entry.get("cluster") or entry.get("user") or {}
        for name in _FILES:
            if held.get(name):
                yield f"'{entry.get('name')}' names a file ('{name}') instead of its content"
        helper = held.get("exec") or {}
        command = helper.get("command")
        if command is not None and command not in HELPERS:
            yield f"'{entry.get('name')}' runs the command '{command}', but only {', '.join(HELPERS)} may be run"
        yield from _unheeded(str(entry.get("name")), held)
        for variable in helper.get("env") or ():
            if not str(variable.get("name", "")).startswith(_VARIABLES):
                yield f"'{entry.get('name')}' sets the variable '{variable.get('name')}' for its command"


def _unheeded(name: str, held: Mapping[str, Any]) -> Iterator[str]:
    """What would be passed over in silence, and means something."""
    if (server := held.get("server")) is not None and not _is_address(server, ("https", "http")):
        yield f"'{name}' has the server '{server}', which is no address like 'https://10.0.0.1:6443'"
    if (proxy := held.get("proxy-url")) and not _is_address(proxy, ("http", "https")):
        yield f"'{name}' has the proxy '{proxy}', and only proxies like 'http://10.0.0.1:3128' are known"
    if held.get("tls-server-name"):
        yield f"'{name}' names a 'tls-server-name', which is not known here: name the server as its certificate does"
    if provider := held.get("auth-provider"):
        kind = provider.get("name") if isinstance(provider, dict) else provider
        yield f"'{name}' signs in by the auth-provider '{kind}', which Kubernetes has dropped: use its sign-in helper"
    for field_name in ("as-groups", "as-uid", "as-user-extra"):
        if held.get(field_name):
            yield f"'{name}' says '{field_name}', which is not known here: 'as' is"


def _is_address(text: object, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(str(text))
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _older(document: dict[str, Any]) -> dict[str, Any]:
    """Helpers answer alike in the newest version of their protocol and in the one before it, which is understood."""
    for entry in document.get("users") or ():
        helper = (entry.get("user") or {}).get("exec") or {}
        if helper.get("apiVersion") == "client.authentication.k8s.io/v1":
            helper["apiVersion"] = "client.authentication.k8s.io/v1beta1"
    return document


def _found(single: SingleConfig | None) -> SingleConfig:
    if single is None:
        raise ValueError("it has no context")
    return single
