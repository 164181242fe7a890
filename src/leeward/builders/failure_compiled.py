"""How builds with Go and Cargo fail. Pure."""

from collections.abc import Sequence

from leeward.builders.cause import Cause, cause
from leeward.builders.failure_hints import EXISTS, HERE

_TIDY = "run `go mod tidy` where you work and commit go.mod and go.sum"
_PRIVATE = "see that the name is right; a private module needs a build of your own Dockerfile with a secret"

GO: Sequence[Cause] = (
    cause(
        r"no required module provides package (?P<name>[^\s;:]+)", "no module in go.mod has the package '{name}'", _TIDY
    ),
    cause(
        r"missing go\.sum entry for (?:module providing package |go\.mod file[^\n]{0,80}?)?(?P<name>[^\s;:(]*)",
        "go.sum does not know '{name}'",
        _TIDY,
    ),
    cause(r"^go: updates to go\.mod needed", "go.mod is not complete", _TIDY),
    cause(
        r"requires go >= (?P<want>[\w.]+) \(running go (?P<have>[^;)\s]+)",
        "the code needs go {want}, and this is {have}",
        "set the Go version in go.mod or in 'build: versions:'",
    ),
    cause(
        r"^go: download (?P<name>go[\w.]+) for \S+: (?P<what>[^\n]+)",
        "'{name}' could not be fetched: {what}",
        "see that this machine reaches the index of Go modules, or ask for go 1.24",
    ),
    cause(
        r"^(?:go: )?(?P<name>[\w./~-]+@v[^\s:]+): (?:invalid version|unrecognized import path)[^\n]*",
        "the Go module '{name}' cannot be had",
        "correct it in go.mod; for a private one set GOPRIVATE and GOPROXY",
    ),
    cause(
        r"verifying (?P<name>\S+?): checksum mismatch",
        "the module '{name}' does not have the hash that go.sum says",
        "look why it changed; `go clean -modcache` and `go mod tidy` write go.sum anew",
    ),
    cause(
        r"inconsistent vendoring in ",
        "the folder 'vendor' does not fit go.mod",
        "run `go mod vendor` where you work and commit the folder",
    ),
    cause(
        r"invalid go version '(?P<want>[^']+)'",
        "go.mod asks for the Go version '{want}', which is no version",
        "write it like '1.24'",
    ),
    cause(
        r"(?P<file>go\.(?:mod|work)):(?P<line>\d+): (?P<what>unknown directive: \S+|require \S+: "
        r"version [^\n]+|[^\n]*usage:[^\n]+)",
        "{file} is wrong in line {line}: {what}",
        "correct the file",
    ),
    cause(
        r"(?P<name>\S+?)@(?P<version>v\S+?): (?:invalid version: )?unknown revision",
        "the module '{name}' has no version {version}",
        EXISTS,
    ),
    cause(
        r"replacement directory (?P<name>\S+) does not exist",
        "go.mod replaces a module by '{name}', which is not in the source",
        "commit the folder, or remove the 'replace' line",
    ),
    cause(
        r"(?:module (?P<name>[\w./@-]+): )?(?:reading|git ls-remote)[^\n]*(?:\n[^\n]*){0,3}?(?:404 "
        r"Not Found|410 Gone|400 Bad Request|could not read Username|Repository not found)",
        "the module '{name}' could not be had",
        _PRIVATE,
    ),
    cause(
        r"go: go\.mod file not found|directory prefix \S+ does not contain main module|cannot find main module",
        "there is no go.mod",
        "run `go mod init` and commit go.mod",
    ),
    cause(
        r"stat (?:/app/)?(?P<name>\S+): directory not found",
        "there is no Go package in '{name}'",
        "correct the path in the build command, or set 'path' in leeward.yaml",
    ),
    cause(
        r"package (?P<name>\S+) is not in (?:std|GOROOT)",
        "there is no Go package '{name}'",
        "correct the import: within your own module it begins with the module's name",
    ),
    cause(
        r"pattern (?P<name>\S+): no matching files found",
        "a 'go:embed' line finds no file '{name}'",
        "add the file, or look whether .dockerignore leaves it out; build what it embeds first",
    ),
    cause(
        r"found packages (?P<names>[^\n]+?) in ",
        "one folder holds several Go packages: {names}",
        "one folder is one package: move the files",
    ),
    cause(
        r"cgo: C compiler \"(?P<name>[^\"]+)\" not found",
        "the C compiler '{name}' is not in the image",
        "add 'gcc' to 'build: packages:', or set CGO_ENABLED=0",
    ),
    cause(
        r"import cycle not allowed",
        "Go packages import each other in a circle",
        "move what both need into a third package",
    ),
    cause(r"(?P<place>\S+\.go:\d+:\d+): (?P<what>undefined: [^\n]+)", "Go: {what} ({place})", HERE),
    cause(
        r"(?P<place>\S+\.go:\d+:\d+): (?P<what>declared and not used[^\n]*|\"[^\"]+\" imported and not used)",
        "Go: {what} ({place})",
        "remove it",
    ),
    cause(
        r"(?P<place>\S+\.go:\d+:\d+): (?P<what>(?:syntax error|cannot use|missing return|not enough "
        r"arguments|too many arguments|[^\n]* redeclared|invalid operation|assignment mismatch|multiple-value)[^\n]*)",
        "Go: {what} ({place})",
        HERE,
    ),
    cause(r"^--- FAIL: (?P<name>\S+)", "the Go test '{name}' fails", "run `go test ./...` where you work"),
)

CARGO: Sequence[Cause] = (
    cause(
        r"no matching package named `(?P<name>[^`]+)` found",
        "no crate '{name}' exists",
        "correct the name in Cargo.toml",
    ),
    cause(
        r"failed to select a version for the requirement `(?P<want>[^`]+)`",
        "the requirement '{want}' cannot be met: there is no such version",
        EXISTS,
    ),
    cause(
        r"the lock file \S+ needs to be updated but --(?:locked|frozen) was passed",
        "Cargo.lock does not match Cargo.toml",
        "run `cargo generate-lockfile` where you work and commit it",
    ),
    cause(
        r"rustc (?P<have>\S+) is not supported by the following packages?:\s+(?P<name>\S+) requires "
        r"rustc (?P<want>\S+)",
        "the crate '{name}' needs rust {want}, and this is {have}",
        "use an older version of it, or set rust-version in Cargo.toml",
    ),
    cause(
        r"requires rustc (?P<want>[\d.]+) or newer, while the currently active rustc version is (?P<have>[\d.]+)",
        "a crate needs rust {want}, and this is {have}",
        "use an older version of it, or set rust-version in Cargo.toml",
    ),
    cause(
        r"The system library `(?P<name>[^`]+)` required by crate `(?P<crate>[^`]+)` was not found",
        "the crate '{crate}' needs the library '{name}'",
        "add its '-dev' package to 'build: packages:'",
    ),
    cause(
        r"(?:ld|lld): cannot find -l(?P<name>[\w.+-]+)",
        "the library '{name}' is not there to link with",
        "add its '-dev' package to 'build: packages:'",
    ),
    cause(
        r"depends on `(?P<name>[^`]+)`,? with (?:feature|features:?) `(?P<want>[^`]+)` but `[^`]+` does not have",
        "the crate '{name}' has no feature '{want}'",
        "correct 'features' in Cargo.toml",
    ),
    cause(
        r"cannot (?:create|update) the lock file \S+ because --(?P<flag>locked|frozen)",
        "Cargo.lock does not fit Cargo.toml, or is not there",
        "run `cargo generate-lockfile` or `cargo update` where you work and commit Cargo.lock",
    ),
    cause(
        r"lock file version `?(?P<have>\d+)`? requires `-Znext-lockfile-bump`|lock file version "
        r"(?P<other>\d+) was found, but this version of Cargo does not understand",
        "Cargo.lock was written by a newer Cargo than the build has",
        "set the version in rust-toolchain.toml or in 'build: versions:'",
    ),
    cause(
        r"feature `(?P<want>edition20\d\d)` is required",
        "a crate is written for Rust's '{want}', which this Cargo does not know",
        "set a newer version in rust-toolchain.toml",
    ),
    cause(
        r"supported edition values are [^\n]+ but `(?P<want>[^`]+)` is unknown",
        "Cargo.toml has an edition '{want}', which there is not",
        'write edition = "2021"',
    ),
    cause(
        r"could not find `Cargo\.toml` in",
        "there is no Cargo.toml",
        "set 'path' in leeward.yaml to the folder of the package",
    ),
    cause(
        r"no targets specified in the manifest",
        "the package has neither src/main.rs nor src/lib.rs",
        "add src/main.rs, or a [[bin]] in Cargo.toml",
    ),
    cause(
        r"no bin target named `(?P<name>[^`]+)`",
        "the package has no program '{name}'",
        "name one of its programs in the build command, or in RUST_BIN",
    ),
    cause(
        r"failed to load manifest for workspace member `(?:\S*/)?(?P<name>[^/`]+)`",
        "the workspace's member '{name}' is not in the source",
        "commit it, or look whether .dockerignore leaves it out",
    ),
    cause(
        r"failed to load source for dependency `(?P<name>[^`]+)`[\s\S]{0,400}?failed to read `",
        "the crate '{name}' is named by a path that is not in the source",
        "commit it, or look whether .dockerignore leaves it out",
    ),
    cause(
        r"unable to update (?P<name>https?://\S+|ssh://\S+|git@\S+)",
        "the repository '{name}' of a crate could not be had",
        "see that it exists and is public; a private one needs a build of your own Dockerfile with a secret",
    ),
    cause(
        r"^error: (?P<what>[^\n]+)\n\s*--> Cargo\.toml:(?P<line>\d+)|failed to parse manifest at "
        r"[^\n]+\n\nCaused by:\n\s+(?P<other>[^\n]+)",
        "Cargo.toml is wrong: {what}{other}",
        "correct Cargo.toml",
    ),
    cause(
        r"environment variable `(?P<name>[^`]+)` not defined at compile time",
        "the variable '{name}' is read while compiling, and not set",
        "read it with std::env::var when the program runs, or set it for the build",
    ),
    cause(
        r"`#!\[feature\]` may not be used on the stable",
        "the code needs Rust's nightly channel",
        "name it in rust-toolchain.toml, or do without the feature",
    ),
    cause(
        r"(?:[Cc]ould not|cannot) find `?protoc`?",
        "the program 'protoc' is missing",
        "add 'protobuf-compiler' to 'build: packages:'",
    ),
    cause(
        r"Could not find directory of OpenSSL installation|openssl-sys[\s\S]{0,300}?pkg-config",
        "the headers of OpenSSL are missing",
        "add 'libssl-dev' to 'build: packages:', or use rustls",
    ),
    cause(
        r"unable to find library -l(?P<name>\S+)",
        "the library '{name}' is missing",
        "add its '-dev' package to 'build: packages:'",
    ),
    cause(
        r"linker `(?P<name>[^`]+)` not found",
        "the linker '{name}' is not in the image",
        "add 'gcc' to 'build: packages:'",
    ),
    cause(
        r"failed to run custom build command for `(?P<name>[^`]+)`[\s\S]{0,3000}?panicked at "
        r"[^\n]+\n\s*(?P<what>[^\n]+)",
        "the build script of '{name}' fails: {what}",
        "see what it looks for, and add its '-dev' package to 'build: packages:'",
    ),
    cause(
        r"failed to run custom build command for `(?P<name>[^`]+)`",
        "the build script of '{name}' fails",
        "see what it looks for, and add its '-dev' package to 'build: packages:'",
    ),
    cause(
        r"unresolved import `(?P<name>[^`]+)`|use of (?:undeclared|unresolved) (?:crate or module"
        r"|module or unlinked crate) `(?P<other>[^`]+)`",
        "Rust: there is no '{name}{other}'",
        "add the crate to Cargo.toml, or correct the name",
    ),
    cause(
        r"failed to select a version for `(?P<name>[^`]+)`",
        "the requirements on the crate '{name}' contradict each other",
        "loosen one of them in Cargo.toml",
    ),
    cause(r"^error(?:\[E\d+\])?: (?P<what>[^\n]+)\n(?:\s*\|?\n)?\s*--> (?P<file>\S+)", "Rust: {what} ({file})", HERE),
)
