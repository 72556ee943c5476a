"""The C API beside a job that trains: what it pulls are the weights of that step, and its codes."""

import json
import struct

import launching
from process_case import BIN_DIR, LONG, ProcessTest

DEADLINE, PASSED, ENDED = 4, 5, 6  # enum ballast_code
# Steps slow enough that a program can ask for a version before it is closed.
UNHURRIED = (LONG, "fault.pause_chance=1", "fault.pause_ms=20")
TIMEOUT_MS = 20_000


def tensors_of(path):
    """The bytes of each tensor of a safetensors file, in the order of the model's layers."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)

    def layer_first(name):
        layer, tensor = name.split(".")
        return int(layer.removeprefix("layer")), tensor == "bias"

    places = [header[name]["data_offsets"] for name in sorted(header, key=layer_first)]
    return [content[8 + length + begin:8 + length + end] for begin, end in places]


class Client(ProcessTest):
    def pull(self, tensor, version="newest", timeout_ms=TIMEOUT_MS, run_dir="r"):
        """-> (code, [least, highest version], bytes, words)"""
        out = self.folder / "pulled"
        out.unlink(missing_ok=True)
        done = launching.run(self.folder / run_dir, tensor, version, timeout_ms, out,
                             cwd=self.folder, program=BIN_DIR / "pull-weights")
        pulled = out.read_bytes() if out.exists() else b""
        return done.returncode, [int(word) for word in done.stdout.split()], pulled, done.stderr

    def weights_after(self, steps, run_dir):
        self.finish(LONG, f"train.max_steps={steps}", run_dir=run_dir)
        return tensors_of(self.folder / run_dir / "model.safetensors")

    def test_pulls_the_weights_of_a_step_while_the_job_trains(self):
        launcher = self.start(*UNHURRIED)
        self.wait_for_step(launcher, 3)

        code, (least, highest), model, words = self.pull("all")
        asked = highest + 30
        code_later, versions_later, weight, words_later = self.pull(0, asked)

        self.assertEqual(code, 0, words)
        self.assertEqual(code_later, 0, words_later)
        self.assertEqual(least, highest)
        self.assertEqual(versions_later, [asked, asked])
        launcher.kill()
        self.assertEqual(model, b"".join(self.weights_after(highest, "model")))
        self.assertEqual(weight, self.weights_after(asked, "later")[0])

    def test_pulls_every_unit_of_an_async_job(self):
        launcher = self.start(*UNHURRIED, "train.mode=async")
        self.wait_for_step(launcher, 1)

        code, (least, highest), model, words = self.pull("all")

        self.assertEqual(code, 0, words)
        self.assertLessEqual(least, highest)
        self.assertEqual(len(model), 4 * (64 * 32 + 32 + 32 * 10 + 10))

    def test_says_whether_a_version_has_passed_is_late_or_will_never_come(self):
        launcher = self.start(*UNHURRIED)
        self.wait_for_step(launcher, 3)

        passed = self.pull(0, 1)
        late = self.pull(0, 10**9, timeout_ms=300)
        launcher.send_signal(2)
        stopped = self.pull(0, 10**9)
        self.end(launcher, seconds=20)
        over = self.pull("all")

        self.assertEqual(passed[0], PASSED, passed[3])
        self.assertEqual(late[0], DEADLINE, late[3])
        self.assertIn("pull of unit", late[3])
        self.assertEqual(stopped[0], ENDED, stopped[3])
        self.assertEqual(over[0], ENDED, over[3])
        self.assertIn("the job has ended", over[3])

    def test_says_that_a_killed_job_does_not_answer(self):
        launcher = self.start(*UNHURRIED)
        self.wait_for_step(launcher, 1)
        launcher.kill()
        launching.wait_until(lambda: not launching.processes_of(self.folder / "r"),
                             "every process is dead", seconds=5)

        code, _, _, words = self.pull("all", timeout_ms=300)

        self.assertEqual(code, DEADLINE)
        self.assertIn("is the job running?", words)
