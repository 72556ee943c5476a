"""Rows from an http address: the bits of the same rows in a folder, whatever goes wrong on the way;
what cannot be mended is one error."""

import gzip
import shutil
import socket
import subprocess
import time

from object_store import ObjectStore
from process_case import BIN_DIR, ROOT, ProcessTest, SMALL_BLOCKS, convert

STREAMED = ("data.order=strip", "data.window=3")


class Http(ProcessTest):
    train_options = SMALL_BLOCKS

    def places(self, store):
        return (f"data.train={store.url}/train", f"data.test={store.url}/test")

    def test_streams_the_bits_of_a_folder(self):
        folder = self.finish(*STREAMED, run_dir="folder")
        with ObjectStore(self.data) as store:
            http = self.finish(*STREAMED, *self.places(store), run_dir="http")

        self.assertEqual(http["weights_xxh3"], folder["weights_xxh3"])

    def test_holds_the_rows_of_an_address_in_memory(self):
        folder = self.finish("train.epochs=1", run_dir="folder")
        with ObjectStore(self.data) as store:
            http = self.finish("train.epochs=1", *self.places(store), run_dir="http")

        self.assertEqual(http["weights_xxh3"], folder["weights_xxh3"])

    def test_faults_on_the_way_change_nothing(self):
        calm = self.finish(*STREAMED, run_dir="calm")
        with ObjectStore(self.data, seed=7, delay_ms=2, error_503=0.1, cut=0.1, flip=0.1,
                         stall=0.01) as store:
            stormy = self.finish(*STREAMED, *self.places(store), run_dir="stormy")

        self.assertEqual(stormy["weights_xxh3"], calm["weights_xxh3"])
        for fault in ("error_503", "cut", "flip"):
            self.assertGreater(store.counts[fault], 0, store.counts)

    def test_says_what_is_not_there(self):
        with ObjectStore(self.data) as store:
            done = self.run_job(f"data.train={store.url}/nothing")

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"{store.url}/nothing/manifest", done.stderr)

    def test_an_object_that_is_replaced_meanwhile_is_an_error(self):
        copy = self.folder / "copy"
        shutil.copytree(self.data / "test", copy / "test")
        rows = gzip.decompress((ROOT / "tests/data/optdigits.tra.gz").read_bytes())
        (self.folder / "rows.csv").write_bytes(16 * rows)  # more than memory_mib keeps
        done = convert(self.folder / "rows.csv", copy / "train", *SMALL_BLOCKS)
        self.assertEqual(done.returncode, 0, done.stderr)
        chunk = max((copy / "train").glob("*.blc"), key=lambda path: path.stat().st_size)
        with ObjectStore(copy) as store:
            launcher = self.start(*STREAMED, *self.places(store), "data.memory_mib=1",
                                  "train.epochs=100000")
            self.wait_for_step(launcher, 20)
            damaged = bytearray(chunk.read_bytes())
            damaged[5000] ^= 1
            chunk.write_bytes(damaged)
            code, error = self.end(launcher, seconds=30)

        self.assertNotEqual(code, 0)
        self.assertIn(chunk.name, error)
        self.assertIn("replaced while it was being read", error)

    def openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def certificate(self, name, address):
        """An authority's own certificate, NAME-ca.pem, and one it gave to a server."""
        new_key = ("-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        self.openssl("req", "-x509", *new_key, "-keyout", f"{name}-ca.key", "-out",
                     f"{name}-ca.pem", "-subj", f"/CN={name} authority", "-days", "2")
        self.openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                     f"/CN={name}")
        (self.folder / "names").write_text(f"subjectAltName={address}\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}-ca.pem", "-CAkey",
                     f"{name}-ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
                     "-extfile", "names")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def test_https_takes_certificates_of_the_authority_it_was_given_and_of_no_other(self):
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        folder = self.finish(*STREAMED, "train.epochs=1", run_dir="folder")
        own = self.certificate("own", "IP:127.0.0.1")
        other = self.certificate("other", "DNS:elsewhere.example")
        trusted = f"data.ca_file={self.folder}/own-ca.pem"
        with ObjectStore(self.data, tls=own) as store, ObjectStore(self.data, tls=other) as renamed:
            self.assertTrue(store.url.startswith("https://"))
            https = self.finish(*STREAMED, *self.places(store), trusted, "train.epochs=1",
                                run_dir="https")
            refused = {
                "no authority": (store, ""),
                "another authority": (store, f"data.ca_file={self.folder}/other-ca.pem"),
                "another name": (renamed, f"data.ca_file={self.folder}/other-ca.pem")}
            for number, (name, (asked, given)) in enumerate(refused.items()):
                with self.subTest(name):
                    settings = (*self.places(asked), *([given] if given else []))
                    done = self.run_job(*settings, run_dir=f"refused-{number}")

                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(f"{asked.url}/train/manifest: SSL", done.stderr)
                    self.assertIn("data.ca_file may name the certificates to trust", done.stderr)

        self.assertEqual(https["weights_xxh3"], folder["weights_xxh3"])

    def test_says_soon_that_nobody_answers_at_an_address(self):
        tool = BIN_DIR / "ballast-tool"
        with socket.socket() as nobody:  # bound, and nobody listens
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}/train"
            begin = time.monotonic()
            children = [self.start(f"data.train={url}")]
            for words in (("doctor", self.job, "--set", f"data.test={url}"),
                          ("data", "plan", self.job, "--set", f"data.train={url}"),
                          ("data", "head", url)):
                children.append(subprocess.Popen([tool, *words], text=True, stdout=subprocess.PIPE,
                                                 stderr=subprocess.PIPE))
            said = [(child.args, *child.communicate(timeout=60), child.returncode)
                    for child in children]

        self.assertLess(time.monotonic() - begin, 20)
        for words, out, error, code in said:
            self.assertEqual(code, 2 if "doctor" in words else 3, words)
            self.assertRegex(error, rf"size of {url}/manifest: .*, given up after 10 s", words)
            self.assertIn("is the server up, and the address right?", out + error, words)

    def test_an_address_of_an_unknown_kind_is_refused(self):
        done = subprocess.run([BIN_DIR / "ballast-tool", "data", "inspect", "ftp://host/data"],
                              capture_output=True, text=True, check=False)

        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("ftp:// found", done.stderr)
