"""Starts paygate, asks it, and prints one line per fact."""
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORK = os.environ["PEERS_WORK"]
TOKEN = "a-caller-token-of-more-than-32-characters"
failed = False
_count = 0


def path(name):
    """The file `name` of this run's keys."""
    return os.path.join(WORK, name)


def read(name):
    with open(path(name), encoding="utf-8") as file:
        return file.read().strip()


@contextlib.contextmanager
def fact(name):
    """Prints whether its body holds."""
    global failed
    try:
        yield
        print(f"ok: {name}", flush=True)
    except Exception:  # whatever the body raises is why the fact does not hold
        failed = True
        trace = traceback.format_exc().rstrip().replace("\n", "\n    ")
        print(f"NOT OK: {name}\n    {trace}", flush=True)


def number():
    """An order number that was not used before."""
    global _count
    _count += 1
    return f"w{os.getpid()}n{int(time.time())}n{_count}"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(args, env, ready):
    """`paygate` with `args` and nothing but `env`, once `ready` answers."""
    log = tempfile.TemporaryFile(mode="w+", encoding="utf-8")
    child = subprocess.Popen(
        [os.environ["PAYGATE"], *args],
        cwd=tempfile.mkdtemp(prefix="paygate-", dir=WORK),
        env={"PATH": os.environ["PATH"], **env},
        stdout=log, stderr=log,
    )
    try:
        for _ in range(150):
            if child.poll() is not None or _answers(ready):
                break
            time.sleep(0.1)
        if child.poll() is not None or not _answers(ready):
            log.seek(0)
            raise RuntimeError(f"paygate does not start:\n{log.read()}")
        yield
    finally:
        child.terminate()
        child.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


@contextlib.contextmanager
def live(env):
    """The sidecar in live mode with `env` beside what every shop sets; gives `create(request)`."""
    origin, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    shop = {
        "PAYGATE_MODE": "live",
        "PAYGATE_LISTEN": origin,
        "PAYGATE_ADMIN_LISTEN": admin,
        "PAYGATE_PUBLIC_URL": f"http://{origin}",
        "PAYGATE_STORE": "sqlite:orders.db",
        "PAYGATE_PRICING": "trusted",
        "PAYGATE_CALLER_TOKEN": TOKEN,
    }

    def create(request):
        headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
        call = urllib.request.Request(
            f"http://{origin}/pay/createPayment", json.dumps(request).encode(), headers)
        try:
            with urllib.request.urlopen(call, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)

    with started(["serve"], {**shop, **env}, f"http://{admin}/readyz"):
        yield create


@contextlib.contextmanager
def provider(answer):
    """A provider on loopback: `answer(method, path, headers, body)` gives status, headers, body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            status, headers, reply = answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.encode())))
            self.end_headers()
            self.wfile.write(reply.encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
