"""How .NET apps are planned."""

from pathlib import Path

import pytest
from tests.unit.planner_trees import decided, planned, warned

from leeward.errors import PlanFailed


def project(*lines: str, sdk: str = "Microsoft.NET.Sdk.Web", target: str = "net10.0") -> str:
    head = (f'<Project Sdk="{sdk}">', f"<TargetFramework>{target}</TargetFramework>")
    return "\n".join((*head, *lines, "</Project>", ""))


def test_the_packages_are_a_layer_of_their_own_before_the_code(tmp_path: Path) -> None:
    found = planned(tmp_path, {"src/Web/Web.csproj": project(), "Shop.sln": "", "nuget.config": ""})
    text = found.dockerfile

    assert text.index("COPY src/Web/Web.csproj ./src/Web/") < text.index("dotnet restore src/Web/Web.csproj")
    assert text.index("dotnet restore") < text.index("COPY . ./") < text.index("dotnet publish src/Web/Web.csproj")
    assert text.index("COPY --from=build /out/lib /app") < text.index("COPY --from=build /out/app /app")
    assert found.start_command == "ASPNETCORE_URLS=http://0.0.0.0:$PORT dotnet /app/Web.dll"


def test_the_sdk_is_the_makers_image_and_what_runs_is_on_our_base(tmp_path: Path) -> None:
    found = planned(tmp_path, {"Shop.csproj": project()})
    mirrored = planned(tmp_path, {}, env={"PLAN_IMAGE_MIRROR": "registry.example.com:5000/ms"})

    assert found.bases == ("leeward-base/debian13:latest", "mcr.microsoft.com/dotnet/sdk:10.0")
    assert "makers-image" in warned(found)
    assert "COPY --from=build /usr/share/dotnet/shared /usr/share/dotnet/shared" in found.dockerfile
    assert "FROM registry.example.com:5000/ms/dotnet/sdk:10.0 AS build" in mirrored.dockerfile


@pytest.mark.parametrize(
    ("files", "tag", "place"),
    [
        ({"A.csproj": project(target="net8.0")}, "8.0", "8 <- A.csproj:2"),
        ({"A.csproj": project(target="net8.0;net10.0")}, "10.0", "10 <- A.csproj:2"),
        ({"A.csproj": project(target="net6.0")}, "10.0", "10 <- A.csproj:2"),
        (
            {"A.csproj": project(target="net8.0"), "global.json": '{"sdk": {"version": "9.0.306"}}'},
            "9.0.306",
            "9 <- global.json:1",
        ),
        (
            {"A.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web" />', "Directory.Build.props": project(target="net9.0")},
            "9.0",
            "9 <- Directory.Build.props:2",
        ),
    ],
)
def test_the_target_or_the_pinned_sdk_says_the_version(
    tmp_path: Path, files: dict[str, str], tag: str, place: str
) -> None:
    found = planned(tmp_path, files)

    assert f"dotnet/sdk:{tag} AS build" in found.dockerfile
    assert decided(found, "dotnet version") == place


def test_a_version_whose_support_has_ended_is_named_with_the_day(tmp_path: Path) -> None:
    found = planned(tmp_path, {"A.csproj": project(target="net8.0")})

    assert "dotnet 8 gets no more fixes from its makers since 2026-11-10" in [note.text for note in found.diagnostics]


def test_a_variable_of_nixpacks_is_stronger_than_the_files(tmp_path: Path) -> None:
    found = planned(tmp_path, {"A.csproj": project()}, env={"NIXPACKS_CSHARP_SDK_VERSION": "9.0"})

    assert decided(found, "dotnet version") == "9 <- variable NIXPACKS_CSHARP_SDK_VERSION"


def test_what_runs_on_windows_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match=r"'net48' \(A\.csproj:2\) runs on Windows only"):
        planned(tmp_path, {"A.csproj": project(target="net48")})


def test_of_several_projects_the_one_for_the_web_runs_and_tests_never(tmp_path: Path) -> None:
    files = {
        "Shop.sln": "",
        "web/Web.csproj": project(),
        "jobs/Jobs.csproj": project(sdk="Microsoft.NET.Sdk.Worker"),
        "tests/T.csproj": project("Microsoft.NET.Test.Sdk"),
        "lib/Lib.csproj": project(sdk="Microsoft.NET.Sdk"),
    }

    assert decided(planned(tmp_path, files), "project") == "web/Web.csproj <- web/Web.csproj:1"
    assert decided(planned(tmp_path, files, env={"PLAN_DOTNET_PROJECT": "jobs"}), "project").startswith("jobs/")
    with pytest.raises(PlanFailed, match=r"'a/A\.csproj', 'web/Web\.csproj'") as failure:
        planned(tmp_path, {**files, "a/A.csproj": project()})
    assert "PLAN_DOTNET_PROJECT=a/A.csproj" in failure.value.hint


def test_a_library_alone_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="no project makes a program"):
        planned(tmp_path, {"Lib.fsproj": project(sdk="Microsoft.NET.Sdk")})


def test_a_name_that_could_be_a_command_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(PlanFailed, match="no project makes a program"):
        planned(tmp_path, {"$(id).csproj": project()})
