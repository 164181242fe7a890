"""What people write in `leeward.yaml`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.errors import Invalid
from leeward.model.app import AppSpec, Instances
from leeward.model.parse import manifest, names
from leeward.model.sizes import Size

WHOLE = """
name: finrag-backend
build: {strategy: auto}
processes:
  web:
    command: uvicorn main:app --host 0.0.0.0 --port $PORT
    size: medium
    instances: {min: 1, max: 3, cpu_percent: 80}
    health: {path: /health}
  worker: {command: python worker.py, size: small}
env: {AWS_DEFAULT_REGION: us-east-1, WORKERS: 2, DEBUG: false}
domains: [api.example.com]
edge: {firewall: off, cache: assets, rate_limit: 100/s}
"""


def problems(text: str, app: str | None = None) -> Invalid:
    with pytest.raises(Invalid) as caught:
        manifest(text, app)
    return caught.value


def test_a_whole_manifest_is_read_as_written() -> None:
    spec = manifest(WHOLE)

    assert (spec.name, spec.processes["web"].size, spec.processes["web"].health.path) == (
        "finrag-backend",
        Size.MEDIUM,
        "/health",
    )
    assert spec.processes["web"].instances == Instances(min=1, max=3, cpu_percent=80)
    assert dict(spec.env) == {"AWS_DEFAULT_REGION": "us-east-1", "WORKERS": "2", "DEBUG": "false"}
    assert (spec.edge.firewall, spec.edge.cache, spec.domains) == ("off", "assets", ("api.example.com",))


def test_an_empty_manifest_means_the_defaults() -> None:
    assert manifest("") == AppSpec()


def test_every_problem_is_named_at_once_with_its_path() -> None:
    text = "proceses: {}\nname: My App\nprocesses: {web: {size: huge, helth: {}, instances: {min: 5, max: 2}}}"

    found = {problem.path for problem in problems(text).problems}

    assert found == {"proceses", "name", "processes/web/size", "processes/web/helth", "processes/web/instances"}


def test_an_unknown_key_gets_a_did_you_mean() -> None:
    assert problems("proceses: {}").hint == "did you mean 'processes'?"


def test_an_unknown_key_inside_a_process_gets_the_keys_of_a_process() -> None:
    assert problems("processes: {web: {comand: x}}").hint == "did you mean 'command'?"


def test_a_wrong_value_is_quoted() -> None:
    assert "'huge'" in str(problems("processes: {web: {size: huge}}"))


@pytest.mark.parametrize(
    "name", ["my app", "Shop", "a" * 64, "süß", "-a", "a-", "", "9lives", "console", "../etc", "a\n", "a.b"]
)
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        manifest(f"name: {name!r}".replace("'", '"'))


@pytest.mark.parametrize(
    "domain", ["localhost", "a b.com", "http://a.com", "*.com.", "-a.com", "a..b", "x" * 64 + ".com"]
)
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    if domain == "*.com.":
        assert manifest('domains: ["*.example.com."]').domains == ("*.example.com",)
        return
    with pytest.raises(Invalid):
        manifest(f'domains: ["{domain}"]')


@pytest.mark.parametrize("text", ["- a", "a: [", "\t- x", "name: !!python/object:os.system x", "{" * 5000, "text"])
def test_what_is_not_a_mapping_in_yaml_gets_one_sentence(text: str) -> None:
    assert "leeward.yaml" in problems(text).message


def test_a_huge_manifest_is_refused() -> None:
    assert "bytes long" in problems("a: " + "x" * 300_000).message


def test_one_of_several_apps_is_chosen_by_name() -> None:
    text = "apps: {front: {path: frontend}, back: {path: backend}}"

    assert names(text) == ("front", "back")
    assert (manifest(text, "back").name, manifest(text, "back").path) == ("back", "backend")
    assert "choose one with --app" in problems(text).hint
    assert problems(text, "bcak").hint == "did you mean 'back'?"


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_crash(text: str) -> None:
    try:
        manifest(text)
    except Invalid as error:
        assert error.message
