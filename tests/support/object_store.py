"""ObjectStore: a folder served over http on this machine, with ranges, ETags and seeded faults.

    with ObjectStore(folder, seed=1, error_503=0.01) as store:
        store.url, store.counts["requests"], store.counts["flip"] ...

With keys={"ID": "SECRET"} it is an S3 store: the first folder of a path is the bucket, and an answer
has to be asked for with a signature (version 4, written here from Amazon's description of it alone).

With tls=("cert.pem", "key.pem") it speaks https.

    tests/support/object_store.py FOLDER [--delay-ms N] [--keys ID:SECRET]    prints its address, serves

Faults, each a chance of an answer: error_503; cut (half of the body, then the connection breaks);
stall (half of the body, then nothing for `stall_seconds`); flip (one bit of the body). delay_ms is
for every answer, jitter_ms the most that is added to it at random, so that later reads overtake
earlier ones. bytes_per_second: of all bodies together.
"""

import argparse
import collections
import datetime
import hashlib
import hmac
import http.server
import pathlib
import random
import re
import ssl
import threading
import time
import urllib.parse

FAULTS = ("error_503", "cut", "stall", "flip")


class ObjectStore:
    def __init__(self, folder, seed=0, delay_ms=0, jitter_ms=0, stall_seconds=8,
                 bytes_per_second=0, keys=None, region="us-east-1", tls=None, **chances):
        unknown = set(chances) - set(FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {unknown}")
        self.folder = pathlib.Path(folder)
        self.delay_ms, self.jitter_ms, self.stall_seconds = delay_ms, jitter_ms, stall_seconds
        self.bytes_per_second, self.link_free_at, self.bytes_sent = bytes_per_second, 0, 0
        self.keys, self.region = keys, region
        self.chances = chances
        self.counts = collections.Counter()
        self.objects = {}
        # Two: which answer has which fault follows from the seed and its number alone.
        self.random, self.jitter = random.Random(seed), random.Random(seed + 1)
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            # The handshake is the connection's own: one that fails holds no other up.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        kind = "http" if tls is None else "https"
        self.url = f"{kind}://127.0.0.1:{self.server.server_address[1]}"

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

    def pause(self):
        with self.lock:
            jitter = self.jitter.random() * self.jitter_ms
        time.sleep((self.delay_ms + jitter) / 1000)

    def wait_for_link(self, count):
        """Until `count` bytes have gone over the one link that all connections share."""
        with self.lock:
            self.bytes_sent += count
            if not self.bytes_per_second:
                return
            self.link_free_at = (max(self.link_free_at, time.monotonic())
                                 + count / self.bytes_per_second)
            free_at = self.link_free_at
        time.sleep(max(0, free_at - time.monotonic()))

    def refusal(self, method, target, headers):
        """(code, what S3 calls it) of a request that is not signed as it has to be, or None."""
        wanted = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, "
                              r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
                              headers.get("Authorization", ""))
        if wanted is None:
            return 403, "AccessDenied"
        key_id, day, region, signed, signature = wanted.groups()
        stamp = headers.get("x-amz-date", "")
        payload = headers.get("x-amz-content-sha256", "")
        if key_id not in self.keys:
            return 403, "InvalidAccessKeyId"
        if region != self.region:
            return 400, "AuthorizationHeaderMalformed"
        if not payload or not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed.split(";")):
            return 403, "AccessDenied"
        then = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
        if abs((datetime.datetime.utcnow() - then).total_seconds()) > 900:
            return 403, "RequestTimeTooSkewed"
        path, _, query = target.partition("?")
        pairs = sorted((urllib.parse.quote(name, safe="-._~"), urllib.parse.quote(value, safe="-._~"))
                       for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True))
        canonical = "\n".join([
            method,
            urllib.parse.quote(urllib.parse.unquote(path), safe="/-._~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")), "",
            signed, payload])
        scope = f"{day}/{region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.keys[key_id]).encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != signature:
            return 403, "SignatureDoesNotMatch"
        return None

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
            disable_nagle_algorithm = True  # else the body waits for the head's acknowledgement

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):  # the client gave up
                    self.close_connection = True

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, with_body):
                path = (store.folder / urllib.parse.unquote(self.path).lstrip("/")).resolve()
                store.pause()
                refusal = store.keys is not None and store.refusal(self.command, self.path,
                                                                   self.headers)
                if refusal:
                    code, word = refusal
                    text = f"<Error><Code>{word}</Code><Message>refused</Message></Error>"
                    return self.send(code, text.encode(), {})
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
                        self.send_body(body[:len(body) // 2])
                        self.wfile.flush()
                        time.sleep(store.stall_seconds if fault == "stall" else 0)
                        self.close_connection = True
                    else:
                        self.send_body(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def send_body(self, body):
                piece = 1 << 16 if store.bytes_per_second else 1 << 30
                for begin in range(0, len(body), piece):
                    part = body[begin:begin + piece]
                    store.wait_for_link(len(part))
                    self.wfile.write(part)

        return Handler


def main():
    parser = argparse.ArgumentParser(description="a folder as an object store")
    parser.add_argument("folder")
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--keys", help="ID:SECRET")
    options = parser.parse_args()
    keys = dict([options.keys.split(":", 1)]) if options.keys else None
    with ObjectStore(options.folder, delay_ms=options.delay_ms, keys=keys) as store:
        print(store.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
