"""Builds with Google Cloud Build keep the contract of a builder, against services that answer as the reference says.

The real services were never asked.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from leeward.builders.bases import Bases
from leeward.builders.google import GoogleBuilder
from leeward.builders.google_plan import Place
from leeward.daemon.builds import logins
from leeward.errors import BuildFailed, Forbidden, Invalid, Unavailable
from leeward.fakes.builder import simple_plan
from leeward.model.app import Strategy
from leeward.model.login import Login
from leeward.model.secret import Secret
from leeward.ports import BuildJob
from leeward.settings import Settings
from tests.contracts.builder import BuilderContract
from tests.contracts.cloud import BUCKET, LOCATION, PROJECT, TOKEN, Cloud, Shelf, cloud, endpoints, tree


class Site:
    """One builder in the cloud."""

    def __init__(self, there: Cloud, home: Path, **settings: object) -> None:
        self.cloud = there
        self.settings = Settings.model_validate(
            {
                "home": home / "home",
                "registry": "europe-west1-docker.pkg.dev/shop-builds/apps",
                "registry_embedded": False,
                "google_endpoints": endpoints(there.url),
                "build_ca": home / "absent",
                **settings,
            }
        )
        place = Place(PROJECT, LOCATION, BUCKET)
        self.builder = GoogleBuilder(self.settings, place, Bases(self.settings), Shelf(), every_s=0.02)
        self._tree = tree(home / "tree")

    def job(
        self,
        *steps: str,
        env: Mapping[str, str] | None = None,
        key: str = "d1",
        secrets: tuple[str, ...] = (),
        args: Mapping[str, str] | None = None,
    ) -> BuildJob:
        text = "\n".join(("FROM scratch", *(f"RUN {step}" for step in steps)))
        plan = replace(simple_plan(text), build_secrets=secrets, args=args or {})
        return BuildJob("shop", key, self._tree, plan, env or {})

    def running(self) -> int:
        return self.cloud.running()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Site]:
    async with cloud() as there:
        yield Site(there, tmp_path)


class TestGoogleBuilder(BuilderContract):
    @pytest.fixture
    def world(self, world: Site) -> Site:
        return world


async def test_the_image_is_named_by_the_digest_that_was_pushed(world: Site) -> None:
    built = await world.builder.build(world.job("echo hello"), lambda line: None)

    assert built.pushed == f"europe-west1-docker.pkg.dev/shop-builds/apps/shop@{built.id}"
    assert built.size_bytes == 1_000_000


async def test_a_secret_is_in_no_request_for_a_build_and_is_taken_away_afterwards(world: Site) -> None:
    lines: list[str] = []
    job = world.job("reveal TOKEN", env={"TOKEN": "t0ps3cret-value"}, secrets=("TOKEN",))

    await world.builder.build(job, lines.append)

    request = json.dumps(list(world.cloud.builds.values()))
    assert "t0ps3cret-value" not in request
    assert "--secret=id=TOKEN,env=TOKEN" in request
    assert "TOKEN is ********" in [line.strip() for line in lines]
    assert world.cloud.secrets == {}
    assert "leeward-shop-d1-TOKEN" in world.cloud.deleted


async def test_an_image_of_another_app_ends_the_build_there(world: Site) -> None:
    image = "europe-west1-docker.pkg.dev/shop-builds/apps/bank:leeward"
    world.cloud.says = f"#3 [internal] load metadata for {image}"

    with pytest.raises(BuildFailed, match="is another app's"):
        await world.builder.build(world.job("sleep 60"), lambda line: None)

    assert world.running() == 0


async def test_the_source_is_taken_away_also_when_the_build_fails(world: Site) -> None:
    with pytest.raises(BuildFailed, match="exit code 3"):
        await world.builder.build(world.job("exit 3"), lambda line: None)

    assert [name for name in world.cloud.objects if name.endswith(".tar.gz")] == []
    assert world.cloud.deleted == ["leeward/shop/d1.tar.gz"]


async def test_a_build_that_takes_too_long_is_ended_there(tmp_path: Path) -> None:
    async with cloud() as there:
        site = Site(there, tmp_path)
        site.builder._settings = site.settings.model_copy(update={"build_timeout_s": 1})

        with pytest.raises(BuildFailed, match="longer than 1 s") as caught:
            await site.builder.build(site.job("sleep 60"), lambda line: None)

    assert caught.value.code == "build-timeout"


async def test_a_dollar_in_an_argument_stays_one(world: Site) -> None:
    await world.builder.build(world.job("echo hello", args={"PRICE": "5$EUR"}), lambda line: None)

    (build,) = world.cloud.builds.values()
    assert "--build-arg=PRICE=5$$EUR" in build["steps"][0]["args"]


async def test_an_account_that_may_not_build_is_told_what_it_lacks(world: Site) -> None:
    world.cloud.denies = True

    with pytest.raises(Forbidden, match="does not let us build in project 'shop-builds'") as caught:
        await world.builder.build(world.job("echo hello"), lambda line: None)

    assert "cloudbuild.builds.editor" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("INTERNAL_ERROR", Unavailable, "failed by itself: something inside went wrong"),
        ("EXPIRED", BuildFailed, "waited too long"),
        ("CANCELLED", BuildFailed, "was cancelled in Google Cloud Build"),
    ],
)
async def test_every_end_of_a_build_is_a_sentence(world: Site, status: str, kind: type[Exception], words: str) -> None:
    world.cloud.ends = status

    with pytest.raises(kind, match=words):
        await world.builder.build(world.job("echo hello"), lambda line: None)


async def test_one_token_serves_until_shortly_before_its_end(world: Site) -> None:
    for key in ("d1", "d2"):
        await world.builder.build(world.job("echo hello", key=key), lambda line: None)

    assert world.cloud.tokens == 1


async def test_the_key_of_a_service_account_signs_in_too(tmp_path: Path) -> None:
    async with cloud() as there:
        file = tmp_path / "key.json"
        file.write_text(json.dumps(key(f"{there.url}/token")))
        site = Site(there, tmp_path, google_key_file=file, google_endpoints=endpoints(there.url))

        built = await site.builder.build(site.job("echo hello"), lambda line: None)

    assert built.pushed


async def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    async with cloud() as there:
        (tmp_path / "key.json").write_text("{}")
        site = Site(there, tmp_path, google_key_file=tmp_path / "key.json")

        with pytest.raises(Invalid, match="is not the key of a service account"):
            await site.builder.build(site.job("echo hello"), lambda line: None)


async def test_a_place_without_an_account_says_what_to_do(tmp_path: Path) -> None:
    async with cloud() as there:
        site = Site(there, tmp_path, google_endpoints=f"{endpoints(there.url)},metadata=http://127.0.0.1:9")

        with pytest.raises(Unavailable, match="Google gives no token") as caught:
            await site.builder.build(site.job("echo hello"), lambda line: None)

    assert "LEEWARD_GOOGLE_KEY_FILE" in caught.value.hint


async def test_artifact_registry_is_asked_with_a_token_unless_somebody_gave_a_login(world: Site) -> None:
    given = Login("eu-docker.pkg.dev", "_json_key", Secret("key"))

    async def find(host: str) -> Login | None:
        return given if host == given.host else None

    login = logins(world.settings, find)

    made = await login("europe-west1-docker.pkg.dev")
    assert made is not None
    assert (made.username, made.password.reveal()) == ("oauth2accesstoken", TOKEN)
    assert await login(given.host) == given
    assert await login("registry.example.com") is None
    assert logins(world.settings.model_copy(update={"registry": "registry.example.com"}), find) is find


async def test_buildpacks_are_refused_before_anything_is_sent(world: Site) -> None:
    job = world.job("echo hello")

    with pytest.raises(Exception, match="is built with buildpacks"):
        await world.builder.build(replace(job, plan=replace(job.plan, strategy=Strategy.BUILDPACKS)), lambda line: None)

    assert world.cloud.objects == {}


def key(token_uri: str) -> Mapping[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"client_email": "builder@shop-builds.iam", "token_uri": token_uri, "private_key": pem.decode()}
