"""What a kubeconfig says is heeded or refused, never passed over."""

from typing import Any

import pytest
import yaml

from leeward.engines.kubernetes.cluster import Cluster
from leeward.engines.kubernetes.failures import still_deleted
from leeward.engines.kubernetes.signin import Manner, credentials, manner
from leeward.errors import Invalid, Unavailable


def kubeconfig(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
    """Two contexts, of which the second is the current one."""
    here = {"server": "https://10.0.0.1:6443", **(cluster or {})}
    return yaml.safe_dump(
        {
            "current-context": "two",
            "contexts": [
                {"name": "one", "context": {"cluster": "b", "user": "v"}},
                {"name": "two", "context": {"cluster": "a", "user": "u"}},
            ],
            "clusters": [{"name": "a", "cluster": here}, {"name": "b", "cluster": {"server": "https://10.0.0.2"}}],
            "users": [{"name": "u", "user": {"token": "t", **(user or {})}}, {"name": "v", "user": {"token": "s"}}],
        }
    )


def test_of_several_contexts_the_current_one_or_the_named_one_is_meant() -> None:
    text = kubeconfig()

    assert credentials(text, "").cluster.server == "https://10.0.0.1:6443"
    assert credentials(text, "one").cluster.server == "https://10.0.0.2"


def test_a_proxy_and_an_account_to_act_for_are_those_of_the_context() -> None:
    text = kubeconfig({"proxy-url": "http://10.0.0.9:3128"}, {"as": "deployer"})

    assert manner(text, credentials(text, "")) == Manner("http://10.0.0.9:3128", {"Impersonate-User": "deployer"})
    assert manner(text, credentials(text, "one")) == Manner()


@pytest.mark.parametrize(
    ("cluster", "user", "match"),
    [
        ({"server": "10.0.0.1:6443"}, {}, "'a' has the server '10.0.0.1:6443', which is no address"),
        ({"server": "ftp://10.0.0.1"}, {}, "no address like 'https"),
        ({"server": "https://10.0.0.1:99999999"}, {}, "no address like 'https"),
        ({"proxy-url": "socks5://10.0.0.9"}, {}, "'a' has the proxy 'socks5://10.0.0.9'"),
        ({"tls-server-name": "other"}, {}, "'a' names a 'tls-server-name'"),
        (
            {},
            {"auth-provider": {"name": "gcp"}},
            "'u' signs in by the auth-provider 'gcp', which Kubernetes has dropped",
        ),
        ({}, {"as": "x", "as-groups": ["y"]}, "'u' says 'as-groups'"),
    ],
)
def test_what_would_be_passed_over_in_silence_is_refused(
    cluster: dict[str, Any], user: dict[str, Any], match: str
) -> None:
    with pytest.raises(Invalid, match=match):
        credentials(kubeconfig(cluster, user), "")


@pytest.mark.parametrize(
    "cluster",
    [
        {"certificate-authority-data": "eHg="},
        {"certificate-authority-data": "%%%"},
        {"certificate-authority-data": "eHg=", "insecure-skip-tls-verify": True},
    ],
)
async def test_a_certificate_that_is_none_is_the_kubeconfigs_fault(cluster: dict[str, Any]) -> None:
    made = Cluster("eu", kubeconfig(cluster), "")

    with pytest.raises(Invalid, match="the kubeconfig of region 'eu' cannot be used"):
        await made.ask("GET", "/version", what="version")


@pytest.mark.parametrize("printed", ["hello", "{}", '{"status": {}}', '{"status": null}', "[]"])
async def test_a_sign_in_helper_that_gives_no_token_is_no_strangers_exception(
    printed: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "aws"
    helper.write_text(f"#!/bin/sh\necho '{printed}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    signs = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}, "token": None}
    made = Cluster("eu", kubeconfig({"server": "http://127.0.0.1:1"}, signs), "")

    with pytest.raises(Unavailable, match="no credentials for the cluster of region 'eu'") as caught:
        await made.ask("GET", "/version", what="version")
    await made.close()

    assert "signed in" in caught.value.hint


def test_what_keeps_a_namespace_from_going_is_said_as_the_cluster_says_it() -> None:
    conditions = [
        {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content removed"},
        {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "kept.example.com/x in 1 resource."},
    ]

    told = still_deleted("Namespace", "leeward-shop", {"status": {"conditions": conditions}})

    assert told.message == "Namespace 'leeward-shop' is still being deleted: kept.example.com/x in 1 resource"
    assert still_deleted("Service", "web", {}).message == "Service 'web' is still being deleted"
    held = still_deleted("Service", "web", {"metadata": {"finalizers": ["lb.example.com/clean"]}})
    assert held.message.endswith("it waits for lb.example.com/clean")
