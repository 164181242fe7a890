"""An app that does on request what a test wants to see; needs Python only."""

import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TEXT = "one"


def about(query):
    return {"text": TEXT, "host": socket.gethostname(), "release": os.environ.get("LEEWARD_RELEASE")}


def env(query):
    return dict(os.environ)


def burn(query):
    def spin():
        while time.monotonic() < ends:
            pass

    ends = time.monotonic() + float(query["seconds"])
    threading.Thread(target=spin, daemon=True).start()
    return {}


def allocate(query):
    held = []
    while True:
        held.append(bytearray(os.urandom(1_000_000)))


def write(query):
    try:
        Path(query["path"]).write_text("x")
    except OSError as error:
        return {"error": error.strerror}
    return {}


def there(query):
    return {"there": Path(query["path"]).exists()}


def reach(query):
    try:
        socket.create_connection((query["host"], int(query["port"])), timeout=1).close()
    except OSError as error:
        return {"error": str(error) or type(error).__name__}
    return {}


def say(query):
    for number in range(int(query.get("times", 1))):
        print(query["text"], number, flush=True)
    return {}


def leave(query):
    os._exit(int(query["code"]))


DEEDS = {deed.__name__: deed for deed in (about, env, burn, allocate, write, there, reach, say, leave)}


class Probe(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = json.dumps(DEEDS.get(url.path.strip("/"), about)(query)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if time.time() > float(os.environ.get("BROKEN_FROM", "inf")):
    sys.exit("the time is over")
time.sleep(float(os.environ.get("SLOW_START", "0")))
if len(sys.argv) > 1:
    while True:
        print("worked", flush=True)
        time.sleep(1)
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Probe).serve_forever()
