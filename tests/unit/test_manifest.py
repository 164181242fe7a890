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


def problems(text: str | bytes, app: str | None = None) -> Invalid:
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "leeward.yaml has 'name' twice: at line 1 and at line 2"),
        ("processes:\n  web: {size: nano, size: micro}\n", "leeward.yaml has 'size' twice: at line 2 and at line 2"),
        ("processes:\n\tweb: {}\n", "leeward.yaml is not YAML at line 2, column 1: a tab begins something"),
        ("name: a\n---\nname: b\n", "leeward.yaml holds a second document at line 2, column 1"),
        ("name: !!python/object:os.system x", "leeward.yaml has an unknown type at line 1, column 7"),
        ("env: *nowhere", "leeward.yaml is not YAML at line 1, column 6: found undefined alias 'nowhere'"),
        ("name: a\nenv: {A: b\x00c}", "leeward.yaml is not YAML at line 2: it holds the character U+0000"),
        ("processes: [web]", "processes: must hold keys and values, not '['web']'"),
        ("domains: a.example.com", "domains: must be a list, as in [a, b], not 'a.example.com'"),
        ("edge: yes", "edge: must hold keys and values, not 'true'"),
        ("env: {A: null}", "env/A: must be text"),
        (
            "processes: {web: {instances: 1.5}}",
            "instances: must be a whole number, or like {min: 1, max: 3}, not '1.5'",
        ),
        ("edge: {rate_limit: 100}", "edge/rate_limit: '100' is not a rate: write it like '100/s'"),
        ("apps: {a: {}}\nenv: {A: b}", "env: cannot stand beside 'apps'"),
        ("apps: {a: 3}", "apps/a: must hold keys and values, not '3'"),
    ],
)
def test_a_clumsy_manifest_is_answered_in_words_of_yaml(text: str, said: str) -> None:
    assert said in problems(text).message


def test_a_wrong_variable_is_named_beside_the_other_problems() -> None:
    found = {problem.path for problem in problems('env: {"A B": x, 1: y, C: [z]}\nname: Shop').problems}

    assert found == {"name", "env/A B", "env/1", "env/C"}


@pytest.mark.parametrize(
    "text",
    [
        "env: [KEY=hunter2]",
        "env: {KEY: {a: hunter2}}",
        "env: {KEY: [hunter2]}",
        "build: {args: [hunter2]}",
        "build: {args: {KEY: [hunter2]}}",
    ],
)
def test_what_a_variable_holds_is_in_no_problem(text: str) -> None:
    assert "hunter2" not in str(problems(text).problems) + problems(text).message


def test_a_long_wrong_value_is_shortened() -> None:
    assert len(problems(f"domains: {'x' * 5000}").message) < 200


def test_anchors_may_be_used_and_cannot_grow_without_end() -> None:
    bomb = "\n".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )

    spec = manifest("processes: {web: &w {size: nano}, worker: {<<: *w, command: x}}")

    assert {process.size for process in spec.processes.values()} == {Size.NANO}
    assert "stands for more than 20000 values" in problems(f"a: &a [1, 1, 1]\n{bomb}").message
    assert "stands for more than 20000 values" in problems("env: &a {A: *a}").message


def test_bytes_that_are_no_utf8_get_their_line_and_a_byte_order_mark_is_no_matter() -> None:
    assert problems(b"env:\n  A: caf\xe9\n").message == "leeward.yaml is not UTF-8 text: see line 2"
    assert manifest(b"\xef\xbb\xbfname: shop\r\npath: api\r\n").name == "shop"
