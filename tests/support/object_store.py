"""ObjectStore: a folder served over http on this machine, with ranges, ETags and seeded faults.

    with ObjectStore(folder, seed=1, error_503=0.01) as store:
        store.url, store.counts["requests"], store.counts["flip"] ...

Faults, each a chance of an answer: error_503; cut (half of the body, then the connection breaks);
stall (half of the body, then nothing for `stall_seconds`); flip (one bit of the body). delay_ms is
for every answer.
"""

import collections
import hashlib
import http.server
import pathlib
import random
import re
import threading
import time

FAULTS = ("error_503", "cut", "stall", "flip")


class ObjectStore:
    def __init__(self, folder, seed=0, delay_ms=0, stall_seconds=8, **chances):
        unknown = set(chances) - set(FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {unknown}")
        self.folder = pathlib.Path(folder)
        self.delay_ms, self.stall_seconds = delay_ms, stall_seconds
        self.chances = chances
        self.counts = collections.Counter()
        self.objects = {}
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def draw(self):
        """The fault of this answer, or None; and a number for where it strikes."""
        with self.lock:
            self.counts["requests"] += 1
            place = self.random.randrange(1 << 30)
            for fault in FAULTS:
                if self.random.random() < self.chances.get(fault, 0):
                    self.counts[fault] += 1
                    return fault, place
            return None, place

    def object(self, path):
        """(bytes, ETag), read again when the file has changed."""
        changed = path.stat().st_mtime_ns
        with self.lock:
            if self.objects.get(path, (None,))[0] != changed:
                whole = path.read_bytes()
                self.objects[path] = (changed, whole, f'"{hashlib.md5(whole).hexdigest()}"')
            return self.objects[path][1:]

    def handler(self):
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (BrokenPipeError, ConnectionResetError):  # the client gave up
                    self.close_connection = True

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, with_body):
                path = (store.folder / self.path.lstrip("/")).resolve()
                time.sleep(store.delay_ms / 1000)
                if not path.is_file() or store.folder.resolve() not in path.parents:
                    return self.send(404, b"no such object\n", {})
                whole, etag = store.object(path)
                if self.headers.get("If-Match", etag) != etag:
                    return self.send(412, b"another object\n", {})
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                headers = {"ETag": etag, "Accept-Ranges": "bytes"}
                if wanted is None:
                    return self.send(200, whole, headers, with_body)
                first, last = int(wanted[1]), min(int(wanted[2]), len(whole) - 1)
                if first > last:
                    return self.send(416, b"", {"Content-Range": f"bytes */{len(whole)}"})
                headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
                return self.send(206, whole[first:last + 1], headers, with_body)

            def send(self, code, body, headers, with_body=True):
                fault, place = store.draw()
                if fault == "error_503":
                    code, body, headers = 503, b"slow down\n", {}
                if fault == "flip" and body and with_body:
                    body = bytearray(body)
                    body[place % len(body)] ^= 1 << place % 8
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if not with_body:
                    return
                try:
                    if fault in ("cut", "stall"):
                        self.wfile.write(body[:len(body) // 2])
                        self.wfile.flush()
                        time.sleep(store.stall_seconds if fault == "stall" else 0)
                        self.close_connection = True
                    else:
                        self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        return Handler
