"""What a release holds, and what a rollback gives back."""

from hypothesis import given
from hypothesis import strategies as st

from leeward.model.app import AppSpec, Instances, ProcessSpec
from leeward.model.release import Release
from leeward.model.secret import Secret, Variable, revealed
from leeward.model.sizes import Size
from leeward.model.wish import App, Override
from leeward.plan.release import complete, merged_env, overridden, overrides_of, renewed, wished_env

keys = st.sampled_from(["A", "B", "C", "D"])
envs = st.dictionaries(keys, st.text(max_size=3), max_size=4)
overrides = st.dictionaries(
    st.sampled_from(["web", "worker"]),
    st.builds(
        Override,
        st.none() | st.builds(lambda n: Instances(min=n, max=n), st.integers(1, 5)),
        st.none() | st.sampled_from(Size),
    ),
)


def variables(values: dict[str, str]) -> tuple[Variable, ...]:
    return tuple(Variable(key, Secret(value)) for key, value in sorted(values.items()))


@given(manifest=envs, wished=envs)
def test_what_was_set_by_hand_wins_over_the_manifest(manifest: dict[str, str], wished: dict[str, str]) -> None:
    env = revealed(merged_env(AppSpec(env=manifest), variables(wished)))

    assert env == {**manifest, **wished}


@given(manifest=envs, wished=envs)
def test_a_rollback_gives_an_environment_that_makes_the_same_release_again(
    manifest: dict[str, str], wished: dict[str, str]
) -> None:
    spec = AppSpec(env=manifest)
    release = Release("shop", 3, "r/shop@sha256:0", spec, merged_env(spec, variables(wished)), {"web": None})

    again = merged_env(spec, wished_env(release))

    assert revealed(again) == revealed(release.env)


@given(first=overrides, later=overrides)
def test_a_rollback_gives_overrides_that_make_the_same_release_again(
    first: dict[str, Override], later: dict[str, Override]
) -> None:
    spec = AppSpec(processes={"web": ProcessSpec(), "worker": ProcessSpec(size=Size.NANO)})
    old = Release("shop", 1, "r/shop@sha256:0", overridden(spec, first), (), {"web": None})
    app = App("shop", spec=spec, overrides=later)

    again = overridden(app.spec, overrides_of(old, app))

    assert again == old.spec


def test_a_plan_without_processes_makes_a_web_process() -> None:
    assert list(complete(AppSpec(), {}).processes) == ["web"]


def test_the_health_path_of_the_plan_is_used_where_the_manifest_names_none() -> None:
    found = complete(AppSpec(), {"web": "run"}, "/healthz")
    named = complete(
        AppSpec(processes={"web": ProcessSpec.model_validate({"health": {"path": "/up"}})}), {}, "/healthz"
    )

    assert (found.processes["web"].health.path, named.processes["web"].health.path) == ("/healthz", "/up")


def test_workers_of_a_procfile_are_added_only_where_the_manifest_names_no_process() -> None:
    alone = complete(AppSpec(), {"web": "a", "worker": "b"})
    named = complete(AppSpec(processes={"api": ProcessSpec()}), {"web": "a", "worker": "b"})

    assert (sorted(alone.processes), sorted(named.processes)) == (["web", "worker"], ["api", "web"])


def test_an_env_change_keeps_image_and_commands() -> None:
    live = Release("shop", 2, "r/shop@sha256:2", AppSpec(env={"A": "1"}), (), {"web": "run"}, commit="c")
    app = App("shop", live=2, overrides={})

    new = renewed(live, app, variables({"B": "2"}), "d1", "env")

    assert (new.image, new.commands, new.commit, revealed(new.env)) == (
        live.image,
        live.commands,
        "c",
        {"A": "1", "B": "2"},
    )
