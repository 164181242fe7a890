"""Know the languages that cannot be planned, so that an error can name them."""

from leeward.builders.tree import AppView
from leeward.errors import PlanFailed

# The score of a directory with pages.
_PAGES = 20

# A file that only this language has, and the language; an official image to build on, where there is one.
_FILES: tuple[tuple[str, str, str], ...] = (
    ("shard.yml", "Crystal", "crystallang/crystal"),
    ("pubspec.yaml", "Dart", "dart"),
    ("project.clj", "Clojure", "clojure"),
    ("build.clj", "Clojure", "clojure"),
    ("deps.edn", "Clojure", "clojure"),
    ("gleam.toml", "Gleam", "ghcr.io/gleam-lang/gleam"),
    ("package.yaml", "Haskell", "haskell"),
    ("stack.yaml", "Haskell", "haskell"),
    ("cabal.project", "Haskell", "haskell"),
    ("haunt.scm", "Scheme", ""),
    ("build.sbt", "Scala", "sbtscala/scala-sbt"),
    ("Package.swift", "Swift", "swift"),
    ("build.zig", "Zig", ""),
    ("dub.json", "D", ""),
    ("dune-project", "OCaml", "ocaml/opam"),
    ("Project.toml", "Julia", "julia"),
    ("DESCRIPTION", "R", "r-base"),
    ("CMakeLists.txt", "C or C++", "gcc"),
    ("meson.build", "C or C++", "gcc"),
    ("rebar.config", "Erlang", "erlang"),
    ("cpanfile", "Perl", "perl"),
    ("main.lua", "Lua", ""),
)
_SUFFIXES = (
    ((".cabal",), "Haskell", "haskell"),
    ((".cbl", ".cob"), "COBOL", ""),
    ((".zig",), "Zig", ""),
    ((".nimble",), "Nim", "nimlang/nim"),
    ((".hs",), "Haskell", "haskell"),
    ((".kt",), "Kotlin", "eclipse-temurin"),
)


def refuse(view: AppView, best: int) -> None:
    """Raise PlanFailed that names the language, unless somebody (`best`: the best score) knows more than pages here."""
    if best > _PAGES:
        return
    if found := _named(view, files_only=best > 0):
        language, path, image = found
        raise PlanFailed(
            f"'{path}' says that this is {language}, which cannot be planned here",
            hint=_advice(language, image),
            code="language-unknown",
        )


def _named(view: AppView, *, files_only: bool) -> tuple[str, str, str] | None:
    """The language, the file that shows it, and an image to build on; None when it is no stranger either."""
    for path, language, image in _FILES:
        if view.has(path):
            return language, path, image
    if files_only:
        return None
    for suffixes, language, image in _SUFFIXES:
        if found := next((path for path in view.paths if path.endswith(suffixes)), None):
            return language, found, image
    return None


def _advice(language: str, image: str) -> str:
    """What to do instead."""
    base = f" that begins with 'FROM {image}'" if image else ""
    return (
        f"write a Dockerfile{base}: it is built as it is; or a start.sh with PLAN_PROVIDER=shell, and name what "
        f"{language} needs in build.packages"
    )
