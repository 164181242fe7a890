"""Which images a build may stand on."""

import pytest

from leeward.builders.neighbours import fetched, refusing
from leeward.builders.progress import Progress
from leeward.errors import BuildFailed


@pytest.mark.parametrize(
    ("vertex", "image"),
    [
        ("[internal] load metadata for 127.0.0.1:5010/other:v1", "127.0.0.1:5010/other:v1"),
        ("resolve image config for hub.example.com/front:1", "hub.example.com/front:1"),
        (
            "docker-image://hub.example.com/front:1@sha256:12",
            "hub.example.com/front:1@sha256:12",
        ),
        ("FROM 127.0.0.1:5010/other:v1", "127.0.0.1:5010/other:v1"),
        (
            "[stage-0 1/3] FROM hub.example.com/library/python:3.13@sha256:12",
            "hub.example.com/library/python:3.13@sha256:12",
        ),
        ("[internal] load build definition from Dockerfile", ""),
        ("[2/3] RUN echo load metadata for x", ""),
    ],
)
def test_the_images_that_buildkit_fetches_are_read(vertex: str, image: str) -> None:
    assert fetched(vertex) == image


@pytest.mark.parametrize(
    "image",
    [
        "127.0.0.1:5010/other:v1",
        "127.0.0.1:5010/other@sha256:12",
        "localhost:5010/other",
        "name-of-loopback.example.com:5010/other:v1",
        "127.0.0.1:5010/shopping",
        "127.0.0.1:5010/shop/x",
    ],
)
def test_other_apps_images_are_refused_under_every_name_of_the_registry(image: str) -> None:
    progress = Progress(refusing("127.0.0.1:5010", "shop", {}))

    with pytest.raises(BuildFailed, match="another app's"):
        list(progress.feed(f"#4 [internal] load metadata for {image}"))


@pytest.mark.parametrize(
    "image",
    [
        "127.0.0.1:5010/shop:v3",
        "127.0.0.1:5010/shop@sha256:12",
        "127.0.0.1:5010/leeward-base/python3.13-build:1",
        "leeward-base/python3.13:1",
        "hub.example.com/library/python:3.13",
        "python:5010",
        "mirror.example.com:5010/hub/python",
    ],
)
def test_public_images_and_an_apps_own_are_not(image: str) -> None:
    refusing("127.0.0.1:5010", "shop", {"hub.example.com": "mirror.example.com:5010/hub"})(image)


def test_a_registry_with_a_folder_keeps_apps_apart_too() -> None:
    look = refusing("registry.example.com/team", "shop", {})

    look("registry.example.com/team/shop:v1")
    look("registry.example.org/team/other:v1")
    with pytest.raises(BuildFailed):
        look("registry.example.com/team/other:v1")
