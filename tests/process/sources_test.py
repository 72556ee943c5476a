"""Data sets behind S3 and other servers, and the disk cache: the bits of the same rows in a folder."""

import functools
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time
import unittest.mock
import urllib.request

from object_store import ObjectStore
from process_case import BIN_DIR, ProcessTest, ROOT, SMALL_BLOCKS, convert

STREAMED = ("data.order=strip", "data.window=3", "train.epochs=2")
KEYS = {"ID": "hush-hush"}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
CACHED = "*.cached"


def metadata_of(asked):
    """A metadata service whose role has the key of KEYS; what it is asked goes into `asked`."""
    role = "/latest/meta-data/iam/security-credentials/"
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    answers = {role: "trainer", "/latest/meta-data/placement/region": "us-east-1",
               f"{role}trainer": json.dumps({
                   "Code": "Success", "AccessKeyId": "ID", "SecretAccessKey": KEYS["ID"],
                   "Token": "session", "Expiration": end})}

    class Service(http.server.BaseHTTPRequestHandler):
        def answer(self, text):
            asked.append(f"{self.command} {self.path}")
            self.send_response(200 if text else 404)
            self.send_header("Content-Length", str(len(text or "")))
            self.end_headers()
            self.wfile.write((text or "").encode())

        def do_PUT(self):
            wants = self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self.answer("token" if self.path == "/latest/api/token" and wants else "")

        def do_GET(self):
            token = self.headers["X-aws-ec2-metadata-token"]
            self.answer(answers.get(self.path) if token == "token" else "")

        def log_message(self, *_):
            pass

    return Service


class Sources(ProcessTest):
    train_options = SMALL_BLOCKS

    def places(self, url):
        return (f"data.train={url}/train", f"data.test={url}/test")

    def bits_of_the_folder(self):
        return self.finish(*STREAMED, run_dir="folder")["weights_xxh3"]


class S3(Sources):
    def s3(self, endpoint):
        return (*self.places("s3://digits"), f"data.s3.endpoint={endpoint}")

    def test_streams_the_bits_of_a_folder(self):
        folder = self.bits_of_the_folder()
        with (ObjectStore(self.shared, keys=KEYS, error_503=0.02, seed=3) as store,
              unittest.mock.patch.dict(os.environ, CREDENTIALS)):
            s3 = self.finish(*STREAMED, *self.s3(store.url))

        self.assertEqual(s3["weights_xxh3"], folder)

    def test_signs_paths_with_characters_that_are_encoded(self):
        shutil.copytree(self.data, self.shared / "bucket" / "dt=2024-01-01 + x")
        with (ObjectStore(self.shared, keys=KEYS) as store,
              unittest.mock.patch.dict(os.environ, CREDENTIALS)):
            self.finish("train.epochs=1", *self.places("s3://bucket/dt=2024-01-01 + x"),
                        f"data.s3.endpoint={store.url}")

    def test_takes_credentials_and_region_from_a_profile_and_shows_no_secret(self):
        profiles = self.folder / "profiles"
        profiles.write_text("[lab]\naws_access_key_id = ID\naws_secret_access_key = hush-hush\n"
                            "region = eu-west-3\n")
        with (ObjectStore(self.shared, keys=KEYS, region="eu-west-3") as store,
              unittest.mock.patch.dict(os.environ, {"AWS_SHARED_CREDENTIALS_FILE": str(profiles)})):
            self.finish("train.epochs=1", *self.s3(store.url), "data.s3.profile=lab")

        for path in (self.folder / "r").rglob("*"):
            if path.is_file():
                self.assertNotIn(b"hush-hush", path.read_bytes(), path)

    def test_asks_the_metadata_service_for_the_role_of_the_machine(self):
        asked = []
        with (ObjectStore(self.shared, keys=KEYS) as store,
              http.server.ThreadingHTTPServer(("127.0.0.1", 0), metadata_of(asked)) as service):
            threading.Thread(target=service.serve_forever, daemon=True).start()
            where = f"http://127.0.0.1:{service.server_address[1]}/"
            with unittest.mock.patch.dict(os.environ, AWS_EC2_METADATA_SERVICE_ENDPOINT=where):
                self.finish("train.epochs=1", *self.s3(store.url))
            service.shutdown()

        self.assertIn("PUT /latest/api/token", asked)
        self.assertIn("GET /latest/meta-data/iam/security-credentials/trainer", asked)
        for path in (self.folder / "r").rglob("*"):
            if path.is_file():
                self.assertNotIn(b"hush-hush", path.read_bytes(), path)

    def test_says_that_the_signature_is_wrong(self):
        wrong = dict(CREDENTIALS, AWS_SECRET_ACCESS_KEY="hush-hash")
        with (ObjectStore(self.shared, keys=KEYS) as store,
              unittest.mock.patch.dict(os.environ, wrong)):
            done = self.run_job(*self.s3(store.url))

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("s3://digits/train/manifest: HTTP 403 SignatureDoesNotMatch", done.stderr)
        self.assertNotIn("hush", done.stderr)

    def test_reads_from_moto(self):
        server = shutil.which("moto_server")
        if server is None:
            self.skipTest("moto_server is not installed (pip install 'moto[server]')")
        folder = self.bits_of_the_folder()
        port = 20000 + os.getpid() % 10000
        moto = subprocess.Popen([server, "-p", str(port)], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        self.addCleanup(moto.wait)
        self.addCleanup(moto.terminate)
        url = f"http://127.0.0.1:{port}"
        made = subprocess.run([pathlib.Path(server).parent / "python3", "-c", FILL_MOTO, url,
                               self.data], capture_output=True, text=True, check=False)
        self.assertEqual(made.returncode, 0, made.stderr)
        key_id, secret = made.stdout.split()

        environment = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}
        with unittest.mock.patch.dict(os.environ, environment):
            s3 = self.finish(*STREAMED, *self.s3(url))
        with unittest.mock.patch.dict(os.environ, dict(environment, AWS_SECRET_ACCESS_KEY="no")):
            refused = self.run_job(*self.s3(url), run_dir="refused")

        self.assertEqual(s3["weights_xxh3"], folder)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("SignatureDoesNotMatch", refused.stderr)


# A bucket "digits", a user who may read it, and from then on a check of every signature.
FILL_MOTO = """
import pathlib, sys, time, urllib.request, boto3
url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
for _ in range(100):
    try:
        urllib.request.urlopen(url + "/moto-api/").read()
        break
    except OSError:
        time.sleep(0.1)
options = dict(endpoint_url=url, region_name="us-east-1", aws_access_key_id="x",
               aws_secret_access_key="x")
s3, iam = boto3.client("s3", **options), boto3.client("iam", **options)
s3.create_bucket(Bucket="digits")
for path in folder.rglob("*"):
    if path.is_file():
        s3.put_object(Bucket="digits", Key=str(path.relative_to(folder)), Body=path.read_bytes())
iam.create_user(UserName="reader")
iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument='{"Version": "2012-10-17",'
    '"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}')
key = iam.create_access_key(UserName="reader")["AccessKey"]
urllib.request.urlopen(urllib.request.Request(url + "/moto-api/reset-auth", data=b"0",
    headers={"Content-Type": "text/plain"})).read()
print(key["AccessKeyId"], key["SecretAccessKey"])
"""


class OtherServers(Sources):
    def test_refuses_a_server_that_reads_no_ranges(self):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=self.data))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

        done = self.run_job(*self.places(f"http://127.0.0.1:{server.server_address[1]}"))

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("the server does not read ranges", done.stderr)

    def test_streams_from_nginx(self):
        if shutil.which("nginx") is None:
            self.skipTest("nginx is not installed")
        folder = self.bits_of_the_folder()
        port = 30000 + os.getpid() % 10000
        for each in (self.shared, self.data):
            each.chmod(0o755)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {self.data}; }} }}\n")
        nginx = subprocess.Popen(["nginx", "-e", "stderr", "-c", self.folder / "nginx.conf"],
                                 stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            self.wait_for_server(url)
            streamed = self.finish(*STREAMED, *self.places(url))
        finally:  # before tearDown looks for processes
            nginx.terminate()
            nginx.wait()

        self.assertEqual(streamed["weights_xxh3"], folder)

    def wait_for_server(self, url):
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/train/manifest").read()
                return
            except OSError:
                time.sleep(0.05)
        self.fail(f"{url} does not answer")


class Cache(Sources):
    """A data set of 4 MB in blocks of 16 KiB, and a cache for half of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        source = ROOT / "tests/data/optdigits.tra.gz"
        for i in range(4):
            shutil.copy(source, cls.shared / f"part{i}.gz")
        done = convert(cls.shared / "part0.gz", cls.data / "large", *(
            str(cls.shared / f"part{i}.gz") for i in range(1, 4)), "--features-type", "f32",
            "--block-kib", "16", "--chunk-mib", "1")
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def setUp(self):
        super().setUp()
        self.cache = self.folder / "cache"

    def read_blocks(self, place, mib, passes=1):
        return [BIN_DIR / "read-blocks", place, self.cache, str(mib), "pixels", "label",
                str(passes), "6"]

    def rows_of(self, place, mib=2, passes=1):
        done = subprocess.run(self.read_blocks(place, mib, passes), capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return set(done.stdout.split())

    def cached_bytes(self):
        return sum(path.stat().st_blocks * 512 for path in self.cache.glob(CACHED))

    def test_a_second_job_reads_from_the_cache(self):
        folder = self.bits_of_the_folder()
        kept = (f"data.cache={self.cache}", *STREAMED)
        with ObjectStore(self.data) as store:
            first = self.finish(*kept, *self.places(store.url), run_dir="first")
            sent = store.bytes_sent
            second = self.finish(*kept, *self.places(store.url), run_dir="second")
            sent_again = store.bytes_sent - sent

        self.assertEqual(first["weights_xxh3"], folder)
        self.assertEqual(second["weights_xxh3"], folder)
        self.assertLess(sent_again, sent / 4)

    def test_a_block_that_was_damaged_in_the_cache_is_fetched_again(self):
        with ObjectStore(self.data) as store:
            rows = self.rows_of(f"{store.url}/large", mib=64)
            for path in self.cache.glob(CACHED):
                damaged = bytearray(path.read_bytes())
                damaged[len(damaged) // 2] ^= 1
                path.write_bytes(damaged)
            again = self.rows_of(f"{store.url}/large", mib=64)

        self.assertEqual(again, rows)

    def test_kills_at_any_instant_leave_a_cache_that_is_right(self):
        instants = random.Random(50)
        rows = self.rows_of(self.data / "large")
        with ObjectStore(self.data) as store:
            place = f"{store.url}/large"
            started = time.monotonic()
            self.rows_of(place)
            whole = time.monotonic() - started
            for _ in range(25):  # two at a time
                readers = [subprocess.Popen(self.read_blocks(place, 2, 1000),
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            text=True) for _ in range(2)]
                for reader in readers:
                    time.sleep(instants.uniform(0, whole))
                    reader.send_signal(signal.SIGKILL)
                    said, error = reader.communicate()
                    self.assertLessEqual(set(said.split()), rows, error)
                    self.assertEqual(reader.returncode, -signal.SIGKILL, error)
                self.assertLessEqual(self.cached_bytes(), 2 << 20)
            self.assertEqual(self.rows_of(place, passes=2), rows)

        left = {path.name for path in self.cache.iterdir()}
        self.assertEqual({name for name in left if not name.endswith(".cached")}, {"ballast-cache"})
        self.assertLessEqual(self.cached_bytes(), 2 << 20)

    def test_a_folder_of_other_things_is_refused(self):
        self.cache.mkdir()
        (self.cache / "thesis.tex").write_text("years of work")
        with ObjectStore(self.data) as store:
            done = self.run_job(f"data.cache={self.cache}", *self.places(store.url))

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn('it holds "thesis.tex" and is no cache', done.stderr)
        self.assertEqual((self.cache / "thesis.tex").read_text(), "years of work")


