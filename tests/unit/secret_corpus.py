"""Ways in which builds put secrets into images and logs: one entry each."""

import base64
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import marshal
import pickle
import plistlib
import quopri
import sqlite3
import struct
import tarfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import zstandard
from tests.unit.secret_corpus_files import FILES

TOKEN = "tk_live_Zq7Lr2VxN9bW4sHd8KcJ3mPf"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
PASSWORD = 'p"a<s>s&w/0\\r d+x=ü%1'
URL = "postgresql://shop:Gq3vT8xYw2LzK1@db.internal:5432/shop?sslmode=require"
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDJ8k3Lz0p2VqXc",
     "a7Gh5TnY1RfWbE4mKsUoD9iZxPvQe6BjCtHlNwAyFgM0uS2rXkOdJq8VzT3bLh1n",
     "Wc5EpYsRmKfGaUxD7oZiBtQvHj4NlXy9CeTgMwSkPuFrVd0bJzL2hAq6OnEx8YmI")
) + "\n-----END PRIVATE KEY-----\n"  # fmt: skip
ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "private_key_id": "4f1c9e7ab2d85306c1fe",
        "private_key": PEM,
        "client_email": "a@b.example",
    }
)
SECRETS: Mapping[str, str] = {
    "TOKEN": TOKEN, "HEX_KEY": HEX, "PASSWORD": PASSWORD, "DATABASE_URL": URL, "TLS_KEY": PEM, "ACCOUNT": ACCOUNT,
}  # fmt: skip


@dataclass(frozen=True)
class Trick:
    """What is in an image: files of one or more layers, things of its configuration; or lines of a log."""

    name: str
    secret: str = "TOKEN"
    layers: tuple[bytes, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    log: tuple[str, ...] = ()


def tar(*files: tuple[str, bytes], **more: object) -> bytes:
    """A layer with these files; `more` are fields of the last one's header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, (name, content) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in more.items() if number == len(files) - 1 else ():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(*files: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files:
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


def database(text: str, encoding: str = "UTF-8") -> bytes:
    """An SQLite database with one row."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA encoding = '{encoding}'")
    connection.execute("CREATE TABLE t (v TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.commit()
    return connection.serialize()


def pack(content: bytes) -> bytes:
    """A Git pack with one blob."""
    size = len(content)
    head = bytearray([(3 << 4) | (size & 15) | (0x80 if size > 15 else 0)])
    size >>= 4
    while size:
        head.append((size & 127) | (0x80 if size > 127 else 0))
        size >>= 7
    return b"PACK" + struct.pack(">II", 2, 1) + bytes(head) + zlib.compress(content) + b"\0" * 20


def pairs(text: bytes, sign: str) -> str:
    return sign.join(f"{byte:02x}" for byte in text)


def xxd(data: bytes, width: int = 16) -> str:
    rows = (data[at : at + width] for at in range(0, len(data), width))
    return "\n".join(" ".join(row[i : i + 2].hex() for i in range(0, len(row), 2)) for row in rows)


def hexdump(data: bytes) -> str:
    rows = (data[at : at + 16] for at in range(0, len(data), 16))
    return "\n".join(
        f"{i * 16:08x}  {pairs(row[:8], ' ')}  {pairs(row[8:], ' ')}  |................|" for i, row in enumerate(rows)
    )


def uuencode(data: bytes) -> str:
    import binascii

    return "".join(binascii.b2a_uu(data[at : at + 45], backtick=True).decode() for at in range(0, len(data), 45))


def wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Each takes the secret's text, and stands in a file between other text.
ENCODINGS: Mapping[str, Callable[[str], str | bytes]] = {
    "as it is": lambda s: s,
    "base64": lambda s: b64(s.encode()),
    "base64, one byte before": lambda s: b64(b"x" + s.encode()),
    "base64, two bytes before": lambda s: b64(b"xy" + s.encode() + b"z"),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(b":" + s.encode()).decode(),
    "base64 without padding": lambda s: b64(s.encode()).rstrip("="),
    "base64 in lines of 76": lambda s: wrap(b64(b"user:" * 9 + s.encode()), 76),
    "base64 in lines of 64": lambda s: wrap(b64(b"a" * 31 + s.encode()), 64),
    "base64 of base64": lambda s: b64(b64(s.encode()).encode()),
    "base64 of user and password": lambda s: b64(f"deploy:{s}".encode()),
    "base64 of UTF-16": lambda s: b64(s.encode("utf-16-le")),
    "base64 of it reversed": lambda s: b64(s[::-1].encode()) if s.isascii() else b64(s.encode()[::-1]),
    "base64, reversed": lambda s: b64(s.encode())[::-1],
    "base64 of hexadecimal": lambda s: b64(s.encode().hex().encode()),
    "base64, as part of a URL": lambda s: quote(b64(s.encode()), safe=""),
    "hexadecimal of base64": lambda s: b64(s.encode()).encode().hex(),
    "hexadecimal": lambda s: s.encode().hex(),
    "hexadecimal, capitals": lambda s: s.encode().hex().upper(),
    "hexadecimal with spaces": lambda s: pairs(s.encode(), " "),
    "hexadecimal with colons": lambda s: pairs(s.encode(), ":"),
    "hexadecimal with dashes": lambda s: pairs(s.encode(), "-"),
    "hexadecimal as a C string": lambda s: "".join(f"\\x{byte:02x}" for byte in s.encode()),
    "hexadecimal as a C array": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "xxd": lambda s: xxd(b"abc=" + s.encode()),
    "xxd, odd": lambda s: xxd(b"abc: " + s.encode()),
    "xxd -p": lambda s: wrap((b"ab" + s.encode()).hex(), 60),
    "hexdump -C": lambda s: hexdump(b"abcde" + s.encode()),
    "od -x": lambda s: " ".join(
        pair[2:] + pair[:2] for pair in xxd(s.encode() + b"\n" * (len(s.encode()) % 2)).split()
    ),
    "od -b": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "a list of bytes": lambda s: str(list(s.encode())),
    "a Node buffer in JSON": lambda s: json.dumps({"type": "Buffer", "data": list(s.encode())}, separators=(",", ":")),
    "per cent, all": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "per cent, needed": lambda s: quote(s, safe=""),
    "per cent, small letters": lambda s: (
        quote(s, safe="").replace("%2F", "%2f").replace("%3D", "%3d") if s.isascii() else quote(s, safe="")
    ),
    "per cent, a form": lambda s: quote_plus(s),
    "per cent, twice": lambda s: quote(quote(s, safe=""), safe=""),
    "JSON": lambda s: json.dumps(s),
    "JSON with Unicode": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s)[1:-1]),
    "JSON as PHP writes it": lambda s: json.dumps(s).replace("/", "\\/"),
    "JSON as Go writes it": lambda s: (
        json.dumps(s, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "Unicode escapes": lambda s: "".join(f"\\u{ord(sign):04x}" for sign in s),
    "HTML": lambda s: html.escape(s),
    "HTML, decimal": lambda s: "".join(f"&#{ord(sign)};" for sign in s),
    "HTML, hexadecimal": lambda s: "".join(f"&#x{ord(sign):x};" for sign in s),
    "UTF-16": lambda s: s.encode("utf-16-le"),
    "UTF-16, big end first": lambda s: s.encode("utf-16-be"),
    "UTF-32": lambda s: s.encode("utf-32-le"),
    "reversed": lambda s: s.encode()[::-1],
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32, three bytes before": lambda s: base64.b32encode(b"abc" + s.encode()).decode(),
    "base85": lambda s: base64.b85encode(s.encode()).decode(),
    "base85, one byte before": lambda s: base64.b85encode(b"a" + s.encode()).decode(),
    "Ascii85": lambda s: base64.a85encode(s.encode()).decode(),
    "uuencode": lambda s: uuencode(b"ab" + s.encode()),
    "quoted printable": lambda s: quopri.encodestring(s.encode()),
    "Python": lambda s: repr(s),
    "Python bytes": lambda s: repr(s.encode()),
    "a shell's single quotes": lambda s: "'" + s.replace("'", "'\\''") + "'",
    "a shell's double quotes": lambda s: '"' + "".join("\\" + sign if sign in '"$`\\' else sign for sign in s) + '"',
    "SQL": lambda s: "'" + s.replace("'", "''") + "'",
    "Java properties": lambda s: "".join("\\" + sign if sign in ":=#!\\ " else sign for sign in s),
    "an INI file of Python": lambda s: s.replace("%", "%%"),
    "a compose file": lambda s: s.replace("$", "$$"),
}

# What a file of a layer holds when it is not text.
BINARIES: Mapping[str, Callable[[bytes], bytes]] = {
    "app/a.pyc": lambda s: b"\xa7\r\r\n" + b"\0" * 12 + marshal.dumps(compile(f"KEY = {s.decode()!r}", "a.py", "exec")),
    "app/a.pickle": lambda s: pickle.dumps({"token": s.decode()}),
    "app/a.plist": lambda s: plistlib.dumps({"token": s.decode()}, fmt=plistlib.FMT_BINARY),
    "app/db.sqlite3": lambda s: database(s.decode()),
    "app/db16.sqlite3": lambda s: database(s.decode(), "UTF-16le"),
    "app/a.msgpack": lambda s: b"\x81\xa5token\xd9" + bytes([len(s)]) + s,
    "app/a.class": lambda s: b"\xca\xfe\xba\xbe\0\0\0\x3d\1\0" + bytes([len(s)]) + s,
    "app/a.zip": lambda s: packed(("a.txt", b"x" * 999 + s)),
    "app/stored.zip": lambda s: packed(("a.txt", s), how=zipfile.ZIP_STORED),
    "app/bzip2.zip": lambda s: packed(("a.txt", b"x" * 999 + s), how=zipfile.ZIP_BZIP2),
    "app/lzma.zip": lambda s: packed(("a.txt", b"x" * 999 + s), how=zipfile.ZIP_LZMA),
    "app/a.whl": lambda s: packed(("a/__init__.py", b"KEY = '" + s + b"'"), ("a/empty.py", b"")),
    "app/a.jar": lambda s: packed(("application.properties", b"token=" + s)),
    "app/a.war": lambda s: packed(("WEB-INF/classes/a.properties", b"token=" + s)),
    "app/a.egg": lambda s: packed(("EGG-INFO/PKG-INFO", s)),
    "app/a.pyz": lambda s: b"#!/usr/bin/env python3\n" + packed(("__main__.py", b"KEY='" + s + b"'")),
    "app/a.docx": lambda s: packed(("word/document.xml", b"<w:t>" + s + b"</w:t>")),
    "app/comment.zip": lambda s: packed(("a", b""), comment=s),
    "app/name.zip": lambda s: packed((s.decode(), b"")),
    "app/a.gz": lambda s: gzip.compress(b"x" * 99 + s),
    "app/two.gz": lambda s: gzip.compress(b"first") + gzip.compress(b"x" * 99 + s),
    "app/large.gz": lambda s: gzip.compress(bytes(3_000_000) + s + bytes(1_000_000)),
    "app/a.log.1.gz": lambda s: gzip.compress(b"GET /?key=" + s),
    "app/a.tar.gz": lambda s: gzip.compress(tar(("a", s))),
    "app/a.tgz": lambda s: gzip.compress(tar(("package/.npmrc", b"_authToken=" + s))),
    "app/a.tar": lambda s: tar(("a", s)),
    "app/a.tar.xz": lambda s: lzma.compress(tar(("a", s))),
    "app/a.bz2": lambda s: bz2.compress(b"x" * 99 + s),
    "app/a.zst": lambda s: zstandard.compress(b"x" * 99 + s),
    "app/.git/objects/ab/cd": lambda s: zlib.compress(b"blob 40\0" + b"x" * 9 + s),
    "app/.git/objects/pack/a.pack": lambda s: pack(b"x" * 40 + s),
    "app/a.ico": lambda s: b"\0\0\1\0" + s,
    "app/core": lambda s: bytes(1_048_570) + s + bytes(99),
    "app/end": lambda s: bytes(2_097_152 - len(s)) + s,
    "app/a.reg": lambda s: "\ufeff[K]\r\n\"t\"=\"".encode("utf-16-le") + s.decode().encode("utf-16-le"),
    "app/.DS_Store": lambda s: b"\0\0\0\1Bud1" + s.decode().encode("utf-16-be"),
}  # fmt: skip

CONFIGS: Mapping[str, Mapping[str, object]] = {
    "ENV": {"config": {"Env": ["PATH=/bin", f"TOKEN={TOKEN}"]}},
    "ENV, base64": {"config": {"Env": [f"A={b64(TOKEN.encode())}"]}},
    "LABEL": {"config": {"Labels": {"token": TOKEN}}},
    "a label's name": {"config": {"Labels": {TOKEN: "1"}}},
    "a label with JSON": {"config": {"Labels": {"a": json.dumps({"t": TOKEN})}}},
    "CMD": {"config": {"Cmd": ["/bin/sh", "-c", f"TOKEN={TOKEN} run"]}},
    "ENTRYPOINT": {"config": {"Entrypoint": ["run", f"--token={TOKEN}"]}},
    "WORKDIR": {"config": {"WorkingDir": f"/app/{TOKEN}"}},
    "USER": {"config": {"User": TOKEN}},
    "VOLUME": {"config": {"Volumes": {f"/data/{TOKEN}": {}}}},
    "HEALTHCHECK": {"config": {"Healthcheck": {"Test": ["CMD", "curl", f"http://a/?t={TOKEN}"]}}},
    "ONBUILD": {"config": {"OnBuild": [f"RUN echo {TOKEN}"]}},
    "SHELL": {"config": {"Shell": ["/bin/sh", TOKEN]}},
    "MAINTAINER": {"author": f"me <{TOKEN}>"},
    "ARG, in the history": {"history": [{"created_by": f"|1 TOKEN={TOKEN} /bin/sh -c make"}]},
    "RUN, in the history": {"history": [{"created_by": f"RUN curl -u u:{TOKEN} x", "empty_layer": True}]},
    "a comment in the history": {"history": [{"comment": TOKEN}]},
    "a host name": {"config": {"Hostname": TOKEN}},
    "as Go writes JSON": {"config": {"Env": ["P=" + TOKEN + "<&>"]}},
}

LONG = "d/" * 60
HEADERS: Mapping[str, bytes] = {
    "a file's name": tar((f"app/{TOKEN}", b"")),
    "a folder's name": tar((f"app/{TOKEN}/a/b", b"")),
    "a long path": tar((f"{LONG}{TOKEN}/a", b"")),
    "a name with an ending": tar((f"app/{TOKEN}.txt", b"1")),
    "a name in base64": tar((f"app/{base64.urlsafe_b64encode(TOKEN.encode()).decode()}", b"")),
    "a name in hexadecimal": tar((f"app/{TOKEN.encode().hex()}", b"")),
    "a symbolic link's target": tar(("app/a", b""), type=tarfile.SYMTYPE, linkname=f"/run/{TOKEN}"),
    "a long link's target": tar(("app/a", b""), type=tarfile.SYMTYPE, linkname=f"{LONG}{TOKEN}"),
    "a hard link's target": tar(("app/a", b""), type=tarfile.LNKTYPE, linkname=TOKEN),
    "an owner's name": tar(("app/a", b""), uname=TOKEN),
    "a group's name": tar(("app/a", b""), gname=TOKEN),
    "an extended attribute": tar(("app/a", b"x"), pax_headers={"SCHILY.xattr.user.token": TOKEN}),
    "an attribute's name": tar(("app/a", b"x"), pax_headers={f"SCHILY.xattr.user.{TOKEN}": "1"}),
    "a comment of the archive": tar(("app/a", b"x"), pax_headers={"comment": TOKEN}),
    "a removed file's name": tar((f"app/.wh.{TOKEN}", b"")),
    "a name in capitals": tar((f"app/{TOKEN.upper()}", b"")),
}

LOGS: Mapping[str, tuple[str, ...]] = {
    "echo": (TOKEN,),
    "printenv": ("PATH=/bin", f"TOKEN={TOKEN}", "HOME=/root"),
    "set -x": (f"+ curl -H 'Authorization: Bearer {TOKEN}' https://example.com",),
    "curl -v": (f"> Authorization: Basic {b64(f'u:{TOKEN}'.encode())}",),
    "pip's index": (f"Looking in indexes: https://u:{TOKEN}@pypi.example.com/simple",),
    "npm's error": (f"npm error headers {{ authorization: 'Bearer {TOKEN}' }}",),
    "git clone": (f"fatal: unable to access 'https://x:{TOKEN}@example.com/a.git/': 403",),
    "a traceback": ("Traceback (most recent call last):", f"KeyError: '{TOKEN}'"),
    "base64": (b64(TOKEN.encode()),),
    "base64 over lines": (*wrap(b64(b"x" * 40 + TOKEN.encode() + b"y" * 40), 76).splitlines(),),
    "hexadecimal": (TOKEN.encode().hex(),),
    "hexadecimal over lines": (*wrap(b"ab".hex() + TOKEN.encode().hex(), 20).splitlines(),),
    "in two lines": (TOKEN[:15], TOKEN[15:]),
    "a character a line": (*TOKEN,),
    "in colours": (f"\x1b[31m{TOKEN}\x1b[0m",),
    "JSON": (json.dumps({"token": TOKEN, "p": PASSWORD}),),
    "reversed": (TOKEN[::-1],),
    "a private key": (*PEM.splitlines(),),
    "a URL": (f"connecting to {URL}",),
    "its password": ("user shop, password Gq3vT8xYw2LzK1",),
}


def tricks() -> list[Trick]:
    """All of them."""
    found = []
    for name, encode in ENCODINGS.items():
        for key in ("TOKEN", "HEX_KEY", "PASSWORD"):
            text = encode(SECRETS[key])
            raw = text if isinstance(text, bytes) else text.encode()
            found.append(Trick(f"{key}: {name}", key, (tar(("app/a.txt", b"value: " + raw + b"\nend")),)))
    found += [Trick(f"file {path}", "TOKEN", (tar((path, (text % TOKEN).encode())),)) for path, text in FILES.items()]
    found += [Trick(f"file {path}", "TOKEN", (tar((path, make(TOKEN.encode()))),)) for path, make in BINARIES.items()]
    found += [Trick(f"configuration: {name}", "TOKEN", (), config) for name, config in CONFIGS.items()]
    found += [Trick(f"header: {name}", "TOKEN", (layer,)) for name, layer in HEADERS.items()]
    found += [Trick(f"log: {name}", "TOKEN", log=lines) for name, lines in LOGS.items()]
    plain, gone = tar(("app/a", TOKEN.encode())), tar(("app/.wh.a", b""))
    anew = json.dumps(json.loads(ACCOUNT), indent=2)
    clean, middle = tar(("app/a", b"x")), PEM.splitlines()[2]
    found += [
        Trick("a file that a later layer deletes", "TOKEN", (plain, gone)),
        Trick("a file that a later layer replaces", "TOKEN", (clean, plain, clean)),
        Trick("a folder that a later layer hides", "TOKEN", (plain, tar(("app/.wh..wh..opq", b"")))),
        Trick("a whole key", "TLS_KEY", (tar(("root/.ssh/id_rsa", PEM.encode())),)),
        Trick("a key as JSON", "TLS_KEY", (tar(("a.json", json.dumps({"k": PEM}).encode())),)),
        Trick("a key in one line", "TLS_KEY", (tar(("a.env", PEM.replace("\n", "\\n").encode())),)),
        Trick("one line of a key", "TLS_KEY", (tar(("a", middle.encode())),)),
        Trick("a key in base64", "TLS_KEY", (tar(("a", b64(PEM.encode()).encode())),)),
        Trick("a key in base64 over lines", "TLS_KEY", (tar(("a", wrap(b64(PEM.encode()), 76).encode())),)),
        Trick("a URL", "DATABASE_URL", (tar(("a", URL.encode())),)),
        Trick("a URL's password", "DATABASE_URL", (tar(("a", b"password=Gq3vT8xYw2LzK1")),)),
        Trick("a URL's password in base64", "DATABASE_URL", (tar(("a", b64(b"shop:Gq3vT8xYw2LzK1").encode())),)),
        Trick("an account's file", "ACCOUNT", (tar(("a.json", ACCOUNT.encode())),)),
        Trick(
            "an account's file, written anew",
            "ACCOUNT",
            (tar(("a.json", anew.encode())),),
        ),
        Trick("an account's key", "ACCOUNT", (tar(("key.pem", PEM.encode())),)),
        Trick("an account's file in base64", "ACCOUNT", (tar(("a", b64(ACCOUNT.encode()).encode())),)),
    ]
    return found
