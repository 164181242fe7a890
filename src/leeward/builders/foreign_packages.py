"""Translate names of packages that other platforms install into Debian's.

From the names' own documentation: nixpkgs attributes, and the tools of mise's registry. A language is no package: its
version is asked for, and becomes a Debian package only beside another language.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from leeward.builders.foreign import Foreign
from leeward.builders.system_packages import Needs
from leeward.model.build import Evidence


def _both(*names: str) -> Needs:
    return Needs(names, names)


def _library(run: str, build: str) -> Needs:
    return Needs((run,), (build,))


# Library packages whose name differs between Debian's releases are left to their `-dev` package, which brings them.
NIX: Mapping[str, Needs] = {
    "bash": Needs(),
    "bind": _both("bind9-dnsutils"),
    "binutils": Needs((), ("binutils",)),
    "brotli": _both("brotli"),
    "bzip2": _both("bzip2", "libbz2-dev"),
    "cacert": Needs(),
    "cairo": _library("libcairo2", "libcairo2-dev"),
    "chromium": _both("chromium"),
    "chromedriver": _both("chromium-driver"),
    "cmake": Needs((), ("cmake",)),
    "coreutils": Needs(),
    "cowsay": _both("cowsay"),
    "cron": _both("cron"),
    "curl": _both("curl"),
    "dig": _both("bind9-dnsutils"),
    "exiftool": _both("libimage-exiftool-perl"),
    "expat": _library("libexpat1", "libexpat1-dev"),
    "ffmpeg": _both("ffmpeg"),
    "ffmpeg-full": _both("ffmpeg"),
    "ffmpeg_6": _both("ffmpeg"),
    "ffmpeg_7": _both("ffmpeg"),
    "file": _both("file"),
    "findutils": Needs(),
    "fontconfig": _library("fontconfig", "libfontconfig-dev"),
    "freetype": _library("libfreetype6", "libfreetype-dev"),
    "gawk": _both("gawk"),
    "gcc": Needs((), ("build-essential",)),
    "gcc-unwrapped": Needs((), ("build-essential",)),
    "gdal": Needs(("gdal-bin",), ("libgdal-dev",)),
    "geos": _library("libgeos-c1v5", "libgeos-dev"),
    "gettext": _both("gettext"),
    "ghostscript": _both("ghostscript"),
    "git": _both("git"),
    "git-lfs": _both("git-lfs"),
    "glib": _library("libglib2.0-0", "libglib2.0-dev"),
    "glibc": Needs(),
    "glibcLocales": _both("locales"),
    "gnugrep": Needs(),
    "gnumake": Needs((), ("make",)),
    "gnupg": _both("gnupg"),
    "gnused": Needs(),
    "gnutar": Needs(),
    "gobject-introspection": _both("libgirepository1.0-dev"),
    "graphicsmagick": _both("graphicsmagick"),
    "graphviz": _both("graphviz"),
    "gzip": Needs(),
    "hdf5": _both("libhdf5-dev"),
    "htop": _both("htop"),
    "icu": _both("libicu-dev"),
    "imagemagick": _both("imagemagick"),
    "imagemagick6": _both("imagemagick"),
    "iputils": _both("iputils-ping"),
    "jq": _both("jq"),
    "lame": _both("lame"),
    "leptonica": _both("libleptonica-dev"),
    "libGL": _library("libgl1", "libgl-dev"),
    "libGLU": _library("libglu1-mesa", "libglu1-mesa-dev"),
    "libffi": _both("libffi-dev"),
    "libgcc": Needs(),
    "libheif": _library("libheif1", "libheif-dev"),
    "libiconv": Needs(),
    "libjpeg": _library("libjpeg62-turbo", "libjpeg-dev"),
    "libmysqlclient": _library("libmariadb3", "libmariadb-dev"),
    "libpng": _both("libpng-dev"),
    "libpqxx": _both("libpqxx-dev"),
    "libreoffice": _both("libreoffice-nogui"),
    "libsndfile": _library("libsndfile1", "libsndfile1-dev"),
    "libsodium": _library("libsodium23", "libsodium-dev"),
    "libtiff": _both("libtiff-dev"),
    "libtool": Needs((), ("libtool",)),
    "libuuid": _library("libuuid1", "uuid-dev"),
    "libuv": _library("libuv1", "libuv1-dev"),
    "libwebp": _both("libwebp-dev"),
    "libxml2": _library("libxml2", "libxml2-dev"),
    "libxslt": _both("libxslt1-dev"),
    "libyaml": _library("libyaml-0-2", "libyaml-dev"),
    "mariadb": _both("mariadb-client"),
    "mariadb-connector-c": _library("libmariadb3", "libmariadb-dev"),
    "mediainfo": _both("mediainfo"),
    "mesa": _library("libgl1", "libgl-dev"),
    "mysql80": _both("default-mysql-client"),
    "ncurses": _both("libncurses-dev"),
    "netcat": _both("netcat-openbsd"),
    "nettools": _both("net-tools"),
    "nginx": _both("nginx-light"),
    "openblas": _library("libopenblas0", "libopenblas-dev"),
    "opencv": _both("libopencv-dev"),
    "openssh": _both("openssh-client"),
    "openssl": _library("openssl", "libssl-dev"),
    "pandoc": _both("pandoc"),
    "pango": Needs(("libpango-1.0-0", "libpangoft2-1.0-0"), ("libpango1.0-dev",)),
    "parallel": _both("parallel"),
    "pkg-config": Needs((), ("pkg-config",)),
    "pkgconfig": Needs((), ("pkg-config",)),
    "poppler_utils": _both("poppler-utils"),
    "poppler-utils": _both("poppler-utils"),
    "portaudio": _library("libportaudio2", "portaudio19-dev"),
    "postgresql": _library("postgresql-client", "libpq-dev"),
    "procps": _both("procps"),
    "proj": _both("proj-bin", "libproj-dev"),
    "protobuf": _both("protobuf-compiler"),
    "qpdf": _both("qpdf"),
    "rclone": _both("rclone"),
    "readline": _both("libreadline-dev"),
    "redis": _both("redis-tools"),
    "ripgrep": _both("ripgrep"),
    "rsync": _both("rsync"),
    "sox": _both("sox"),
    "sqlite": _library("sqlite3", "libsqlite3-dev"),
    "stdenv.cc.cc": Needs(("libstdc++6",)),
    "stdenv.cc.cc.lib": Needs(("libstdc++6",)),
    "strace": _both("strace"),
    "supervisor": _both("supervisor"),
    "swig": Needs((), ("swig",)),
    "tesseract": _both("tesseract-ocr"),
    "tesseract4": _both("tesseract-ocr"),
    "tesseract5": _both("tesseract-ocr"),
    "texliveSmall": _both("texlive"),
    "tini": _both("tini"),
    "tree": _both("tree"),
    "tzdata": Needs(),
    "unixODBC": _library("unixodbc", "unixodbc-dev"),
    "unzip": _both("unzip"),
    "util-linux": Needs(),
    "vim": _both("vim-tiny"),
    "vips": _both("libvips-dev"),
    "wget": _both("wget"),
    "which": Needs(),
    "wkhtmltopdf": _both("wkhtmltopdf"),
    "xmlsec": Needs(("libxmlsec1-openssl",), ("libxmlsec1-dev",)),
    "xorg.libX11": _library("libx11-6", "libx11-dev"),
    "xorg.libXext": _library("libxext6", "libxext-dev"),
    "xorg.libXrender": _library("libxrender1", "libxrender-dev"),
    "xvfb-run": _both("xvfb"),
    "xz": _both("xz-utils"),
    "yq": _both("yq"),
    "yt-dlp": _both("yt-dlp"),
    "zip": _both("zip"),
    "zlib": _library("zlib1g", "zlib1g-dev"),
    "zstd": _library("zstd", "libzstd-dev"),
}
# A language's attribute, with its version where it has one: `nodejs_20`, `nodejs-18_x`, `python311`, `go_1_21`.
_LANGUAGE = re.compile(
    r"(nodejs|node|python|go|golang|jdk|openjdk|java|temurin-bin|php|ruby|elixir|deno|bun|dotnet-sdk|rustc|cargo|rust)"
    r"(?:[-_]?(\d+(?:[._]\d+)*)(?:[._]x)?(?:Full|_headless)?)?"
)
_TOOLS: Mapping[str, str] = {
    "nodejs": "node",
    "golang": "go",
    "jdk": "java",
    "openjdk": "java",
    "temurin-bin": "java",
    "dotnet-sdk": "dotnet",
    "rustc": "rust",
    "cargo": "rust",
}
# What comes with a language's base, under names of its own.
_PARTS = re.compile(
    r"(python\d*Packages|php\d*Packages|nodePackages|rubyPackages|beamPackages|haskellPackages)\.[\w.+-]{1,60}"
)
_BUNDLED = frozenset(
    {"bundler", "composer", "corepack", "gradle", "hex", "maven", "npm", "npm-8_x", "npm-9_x", "pdm", "pip", "pipenv"}
    | {"pnpm", "pnpm-8_x", "pnpm-9_x", "poetry", "rebar3", "setuptools", "uv", "yarn", "yarn-1_x"}
)
# Beside another language: Debian's own.
DEBIAN_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "node": ("nodejs", "npm"),
    "python": ("python3", "python3-venv"),
    "go": ("golang-go",),
    "java": ("default-jre-headless",),
    "php": ("php-cli",),
    "ruby": ("ruby",),
    "elixir": ("elixir",),
    "rust": ("cargo", "rustc"),
}


def nix(found: Foreign, name: str, evidence: Evidence) -> None:
    """A package of nixpkgs: Debian's, a language, or a note."""
    name = name.strip().removeprefix("pkgs.").removesuffix(".dev").removesuffix(".out").removesuffix(".bin")
    needs = NIX.get(name) or NIX.get(name.replace("-", "_"))
    if needs is not None:
        found.run_packages += [(package, evidence) for package in needs.run]
        found.build_packages += [(package, evidence) for package in needs.build]
    elif match := _LANGUAGE.fullmatch(name):
        tool = _TOOLS.get(match[1], match[1])
        found.tools.append((tool, _version(tool, match[2] or ""), evidence))
    elif not name or name == "..." or name in _BUNDLED or name in _known_parts(name):
        return
    else:
        near = get_close_matches(name, NIX, n=1)
        guess = f"did you mean '{near[0]}'? Else " if near else ""
        found.note(
            evidence,
            f"asks for the package '{name[:60]}' of nixpkgs, and no Debian package is known for it",
            f"{guess}name Debian's package in build.packages of leeward.yaml",
        )


def mise(found: Foreign, tool: str, version: str, evidence: Evidence) -> None:
    """A tool of mise's registry: a language of ours, a Debian package, or a note."""
    name = tool.strip().removeprefix("core:").removeprefix("aqua:")
    number = "" if version.strip().lower() in ("latest", "lts", "", "*", "true") else version.strip()
    match = _LANGUAGE.fullmatch(name)
    if match and not match[2]:
        found.tools.append((_TOOLS.get(name, name), number, evidence))
    elif name in _BUNDLED:
        if number:
            found.note(evidence, f"asks for {name} {number}: the one that comes with the build is used", level="info")
    else:
        nix(found, name, evidence)


def _known_parts(name: str) -> tuple[str, ...]:
    return (name,) if _PARTS.fullmatch(name) and name.rpartition(".")[2] in _BUNDLED else ()


def _version(tool: str, digits: str) -> str:
    digits = digits.replace("_", ".")
    if "." not in digits and len(digits) > 1 and tool in ("python", "php", "ruby"):
        # `python311` is 3.11, `php82` is 8.2.
        return f"{digits[0]}.{digits[1:]}"
    return digits
