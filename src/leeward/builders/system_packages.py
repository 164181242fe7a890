"""Know which Debian packages a dependency needs besides its own files.

Looked up by the normalised name of a dependency, never by a part of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leeward.errors import Invalid
from leeward.model.build import Decision, Evidence

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+~:-]+)?")


@dataclass(frozen=True, slots=True)
class Needs:
    """Debian packages at run time and at build time."""

    run: tuple[str, ...] = ()
    build: tuple[str, ...] = ()


_CAIRO = Needs(("libcairo2",), ("libcairo2-dev", "pkg-config"))
_PANGO = Needs(("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core"))
_FFMPEG = Needs(("ffmpeg",))
_POPPLER = Needs(("poppler-utils",))
_GL = Needs(("libgl1", "libglib2.0-0"))
_OPENMP = Needs(("libgomp1",))

PYTHON: Mapping[str, Needs] = {
    "psycopg2": Needs(("libpq5",), ("libpq-dev",)),
    "psycopg-c": Needs(("libpq5",), ("libpq-dev",)),
    "psycopg": Needs(("libpq5",)),
    "mysqlclient": Needs(("libmariadb3",), ("libmariadb-dev", "pkg-config")),
    "pycairo": _CAIRO,
    "cairosvg": Needs(("libcairo2",)),
    "cairocffi": Needs(("libcairo2",)),
    "weasyprint": _PANGO,
    "pdf2image": _POPPLER,
    "pydub": _FFMPEG,
    "moviepy": _FFMPEG,
    "ffmpeg-python": _FFMPEG,
    "opencv-python": _GL,
    "opencv-contrib-python": _GL,
    "python-magic": Needs(("libmagic1",)),
    "lightgbm": _OPENMP,
    "xgboost": _OPENMP,
    "pytesseract": Needs(("tesseract-ocr",)),
    "python-ldap": Needs(("libldap-dev", "libsasl2-2"), ("libldap-dev", "libsasl2-dev")),
    "pyodbc": Needs(("unixodbc",), ("unixodbc-dev",)),
    "wand": Needs(("imagemagick",)),
    "gdal": Needs(("gdal-bin",), ("libgdal-dev",)),
    "gitpython": Needs(("git",)),
    "pygraphviz": Needs(("graphviz",), ("libgraphviz-dev",)),
    "graphviz": Needs(("graphviz",)),
    "camelot-py": Needs(("ghostscript",)),
    "librosa": Needs(("libsndfile1",)),
    "psycopg2cffi": Needs(("libpq5",), ("libpq-dev",)),
    "pyaudio": Needs(("libportaudio2",), ("portaudio19-dev",)),
    "pyzbar": Needs(("libzbar0",)),
    "selenium": Needs(("chromium", "chromium-driver")),
    "soundfile": Needs(("libsndfile1",)),
    "yt-dlp": _FFMPEG,
    "xmlsec": Needs(("libxmlsec1-openssl",), ("libxmlsec1-dev", "pkg-config")),
}
NODE: Mapping[str, Needs] = {
    "prisma": Needs(("openssl",), ("openssl",)),
    "@prisma/client": Needs(("openssl",), ("openssl",)),
    "pg-native": Needs(("libpq5",), ("libpq-dev",)),
    "fluent-ffmpeg": _FFMPEG,
    "gm": Needs(("graphicsmagick",)),
    "canvas": Needs(
        ("libcairo2", "libgif7", "libjpeg62-turbo", "libpango-1.0-0", "libpangocairo-1.0-0", "librsvg2-2"),
        ("libcairo2-dev", "libgif-dev", "libjpeg-dev", "libpango1.0-dev", "librsvg2-dev"),
    ),
    # Debian's own: what puppeteer downloads is not among the packages of npm.
    "puppeteer": Needs(("chromium", "fonts-liberation")),
    "imagemagick": Needs(("imagemagick",)),
    "pdf2pic": Needs(("ghostscript", "graphicsmagick")),
    "pdf-poppler": _POPPLER,
    "kerberos": Needs(("libkrb5-3",), ("libkrb5-dev",)),
    "node-expat": Needs((), ("libexpat1-dev",)),
    "oracledb": Needs(("libaio1",)),
    "usb": Needs(("libusb-1.0-0",), ("libudev-dev",)),
    "zeromq": Needs(("libzmq5",)),
}
RUBY: Mapping[str, Needs] = {
    "charlock_holmes": Needs((), ("libicu-dev",)),
    "curb": Needs(("libcurl4t64",), ("libcurl4-openssl-dev",)),
    "execjs": Needs((), ("nodejs",)),
    "image_processing": Needs(("libvips42t64",)),
    "mini_magick": Needs(("imagemagick",)),
    "rtesseract": Needs(("tesseract-ocr",)),
    "streamio-ffmpeg": _FFMPEG,
    "tiny_tds": Needs(("libsybdb5",), ("freetds-dev",)),
    "mysql2": Needs(("libmariadb3",), ("libmariadb-dev",)),
    "pg": Needs(("libpq5",), ("libpq-dev",)),
    "rmagick": Needs(("imagemagick",), ("libmagickwand-dev",)),
    "ruby-vips": Needs(("libvips42t64",)),
    "sqlite3": Needs(("libsqlite3-0",), ("libsqlite3-dev",)),
    "trilogy": Needs((), ("libssl-dev",)),
}
PHP: Mapping[str, Needs] = {
    "barryvdh/laravel-dompdf": Needs(("fonts-dejavu-core",)),
    "intervention/image": Needs(("php-gd",)),
    "league/glide": Needs(("php-gd",)),
    "pbmedia/laravel-ffmpeg": _FFMPEG,
    "php-ffmpeg/php-ffmpeg": _FFMPEG,
    "phpoffice/phpspreadsheet": Needs(("php-gd",)),
    "spatie/browsershot": Needs(("chromium",)),
    "spatie/image-optimizer": Needs(("jpegoptim", "optipng", "pngquant")),
    "spatie/pdf-to-image": Needs(("ghostscript", "php-imagick"), ("php-imagick",)),
    "spatie/pdf-to-text": _POPPLER,
    "thiagoalessio/tesseract_ocr": Needs(("tesseract-ocr",)),
}
RUST: Mapping[str, Needs] = {
    "bindgen": Needs((), ("libclang-dev",)),
    "cmake": Needs((), ("cmake",)),
    "libsqlite3-sys": Needs(("libsqlite3-0",), ("libsqlite3-dev",)),
    "mysqlclient-sys": Needs(("libmariadb3",), ("libmariadb-dev",)),
    "openssl-sys": Needs(("libssl3t64",), ("libssl-dev",)),
    "pq-sys": Needs(("libpq5",), ("libpq-dev",)),
    "prost-build": Needs((), ("protobuf-compiler",)),
}


@dataclass(frozen=True, slots=True)
class Found:
    """The packages to install, and why."""

    run: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()


def find(
    table: Mapping[str, Needs], dependencies: Iterable[tuple[str, Evidence]], asked: Sequence[tuple[str, Evidence]] = ()
) -> Found:
    """What the dependencies need, and what the user asked for by name. Raises Invalid for what is no package name."""
    run: dict[str, Evidence] = {}
    build: dict[str, Evidence] = {}
    for name, evidence in dependencies:
        needs = table.get(name, Needs())
        run.update({package: evidence for package in needs.run if package not in run})
        build.update({package: evidence for package in needs.build if package not in build})
    for name, evidence in asked:
        if not _NAME.fullmatch(name):
            raise Invalid(
                f"'{name}' ({evidence.file}) is not the name of a Debian package",
                hint="use lower-case letters, digits, '.', '+' and '-', as in 'libpq5'",
            )
        run.setdefault(name, evidence)
        build.setdefault(name, evidence)
    decisions = []
    if run or build:
        because = tuple(dict.fromkeys([*run.values(), *build.values()]))
        decisions.append(Decision("system packages", " ".join(sorted(run) or sorted(build)), because))
    return Found(tuple(sorted(run)), tuple(sorted(build)), tuple(decisions))


def checked(asked: Sequence[tuple[str, Evidence]]) -> list[tuple[str, Evidence]]:
    """Packages that were asked for by name, each once. Raises Invalid for what is no package name."""
    find({}, (), asked)
    kept: dict[str, Evidence] = {}
    for name, evidence in asked:
        kept.setdefault(name, evidence)
    return list(kept.items())


def words(text: str) -> tuple[str, ...]:
    """The names in a variable, parted by spaces or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word and word != "...")
