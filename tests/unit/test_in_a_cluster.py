"""A control plane that runs in a cluster: what it reads, refuses, and makes of a cluster's words."""

from pathlib import Path

import pytest

from leeward.builders.images_only import ImagesOnly
from leeward.daemon.parts import own_region
from leeward.engines.kubernetes.failures import failure
from leeward.engines.kubernetes.own_pod import OwnPod
from leeward.errors import Barred, FetchFailed, Invalid, PlanFailed, RolloutFailed
from leeward.model.app import AppSpec, Strategy
from leeward.model.region import EngineKind
from leeward.registry.signin import split
from leeward.settings import Settings

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("nginx", ("registry-1.docker.io", "library/nginx", "latest")),
        ("team/shop:2", ("registry-1.docker.io", "team/shop", "2")),
        ("registry.internal:5000/shop", ("registry.internal:5000", "shop", "latest")),
        ("registry.internal:5000/a/b:v1", ("registry.internal:5000", "a/b", "v1")),
        (f"ghcr.example.com/a/b@{DIGEST}", ("ghcr.example.com", "a/b", DIGEST)),
    ],
)
def test_an_images_name_says_where_it_is(image: str, parts: tuple[str, str, str]) -> None:
    assert split(image) == parts


@pytest.mark.parametrize("image", ["registry.example.com/../x:1", "registry.example.com/a b", "x:1?y"])
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(FetchFailed, match="is not the name of an image"):
        split(image)


def test_the_cluster_around_a_control_plane_is_the_region_local() -> None:
    region = own_region(Settings(pod="a/b", cluster_options="gateway=edge/public; apps_pool=pool=apps,taint:apps;"))

    assert (region.name, region.engine, region.credentials) == ("local", EngineKind.KUBERNETES, None)
    assert region.options == {"gateway": "edge/public", "apps_pool": "pool=apps,taint:apps"}


def test_options_of_the_cluster_that_cannot_be_read_are_named() -> None:
    with pytest.raises(Invalid, match="LEEWARD_CLUSTER_OPTIONS: must be like"):
        own_region(Settings(pod="a/b", cluster_options="gateway"))


def test_a_pod_without_its_namespace_is_refused() -> None:
    with pytest.raises(Invalid, match="LEEWARD_POD must be like 'namespace/name', not 'leeward-0'"):
        OwnPod("leeward-0")


def test_what_must_be_built_is_refused_and_an_image_is_planned(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "requirements.txt").write_text("")
    built = AppSpec(name="shop")
    image = AppSpec.model_validate({"build": {"strategy": "image", "image": "registry.example.com/shop:1"}})

    with pytest.raises(PlanFailed, match="'shop' must be built, and a control plane in a cluster builds nothing"):
        ImagesOnly().plan(tmp_path, built, {}, {})

    assert ImagesOnly().plan(tmp_path, image, {}, {}).strategy == Strategy.IMAGE


@pytest.mark.parametrize("status", [400, 403, 409, 500])
def test_a_webhook_that_refuses_is_named_whatever_status_it_gives(status: int) -> None:
    said = 'admission webhook "rules.example.com" denied the request: images must be signed'

    found = failure(status, {"message": said}, "local", "Deployment 'shop'")

    assert isinstance(found, RolloutFailed)
    assert found.message == "Deployment 'shop': webhook 'rules.example.com' refuses it: images must be signed"


def test_a_webhook_that_does_not_answer_bars_and_is_named() -> None:
    said = (
        'Internal error occurred: failed calling webhook "rules.example.com": failed to call webhook: '
        'Post "https://10.0.0.1:8443/?timeout=2s": dial tcp 10.0.0.1:8443: connect: connection refused'
    )

    found = failure(500, {"message": said}, "local", "Deployment 'shop'")

    assert isinstance(found, Barred)
    assert found.message == (
        "Deployment 'shop': webhook 'rules.example.com' of the cluster does not answer: "
        "dial tcp 10.0.0.1:8443: connect: connection refused"
    )
