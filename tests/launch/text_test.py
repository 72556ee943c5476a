"""Lines as people read them."""

import unittest

from ballast_launcher import text


class Summary(unittest.TestCase):
    def test_a_resume_that_had_nothing_left_to_do_has_no_speed(self):
        summary = {"mode": "sync", "steps": 3, "epochs": 1, "wall_seconds": 2.0}

        self.assertEqual(text.summary_lines(summary | {"samples_per_second": 0}),
                         ["done: sync, 3 steps, 1 epochs in 2.0 s"])
        self.assertEqual(text.summary_lines(summary | {"samples_per_second": 9}),
                         ["done: sync, 3 steps, 1 epochs in 2.0 s (9 samples/s)"])


class StepShare(unittest.TestCase):
    def worker(self, index, state="running", waiting_for="", **shares):
        return {"index": index, "state": state, "lanes": [2 * index, 2 * index + 1],
                "waiting_for": waiting_for,
                "shares": {**dict.fromkeys(text.SHARES, 0.0), **shares}}

    def test_nothing_is_said_before_the_first_step_and_after_the_end(self):
        self.assertEqual(text.step_share({}), "")
        self.assertEqual(text.step_share({"workers": [self.worker(0), {"index": 1}]}), "")
        self.assertEqual(text.step_share({"workers": [self.worker(0, "ended", load=1.0)]}), "")

    def test_the_largest_share_of_all_workers_is_named(self):
        computing = self.worker(0, compute=0.9, load=0.1)
        loading = self.worker(1, load=1.0)

        self.assertEqual(text.step_share({"workers": [computing]}), "computes 90 %")
        self.assertEqual(text.step_share({"workers": [computing, loading]}), "waits: load 55 %")

    def test_one_shard_that_is_waited_for_is_named_unless_it_is_for_a_moment(self):
        first = self.worker(0, "waiting", "shard 1: push of unit 3 at clock 17", push=0.6, compute=0.4)
        second = self.worker(1, "waiting", "shard 0: push of unit 1 at clock 17", push=0.8, load=0.2)
        long, moment = {"waiting_seconds": 0.3}, {"waiting_seconds": 0.003}

        self.assertEqual(text.step_share({"workers": [first | long]}), "waits: push 60 % (shard 1)")
        self.assertEqual(text.step_share({"workers": [first | moment]}), "waits: push 60 %")
        self.assertEqual(text.step_share({"workers": [first | long, second | moment]}),
                         "waits: push 70 % (shard 1)")
        self.assertEqual(text.step_share({"workers": [first | long, second | long]}),
                         "waits: push 70 %")

    def test_the_worker_that_waits_least_is_the_one_that_is_waited_for(self):
        fast = [self.worker(index, wait=0.9, compute=0.1) for index in (0, 2)]
        slow = self.worker(1, wait=0.3, compute=0.7)
        like_them = self.worker(1, wait=0.8, compute=0.2)

        self.assertEqual(text.step_share({"workers": [*fast, slow]}), "waits: others 70 % (worker 1)")
        self.assertEqual(text.step_share({"workers": [*fast, like_them]}), "waits: others 87 %")
        self.assertEqual(text.step_share({"workers": fast[:1]}), "waits: push 90 %")  # no others

    def test_the_line_of_a_run_says_it(self):
        status = {"state": "running", "step": 3, "workers": [self.worker(0, compute=1.0)]}

        self.assertEqual(text.status_line(status), "running  step 3  computes 100 %")


class Waiting(unittest.TestCase):
    def test_those_who_have_not_joined_are_named_and_cut_short(self):
        two = "shard 0 has not joined (1.2 s), worker 1 has not joined (1.2 s)"
        many = ", ".join(f"shard {index} has not joined (4 ms)" for index in range(40))

        self.assertEqual(text.waiting(two), "waiting for shard 0, worker 1 to join (1.2 s)")
        self.assertEqual(text.waiting(many),
                         "waiting for shard 0, shard 1, shard 2 and 37 more to join (4 ms)")

    def test_other_reasons_are_told_as_they_are(self):
        self.assertEqual(text.waiting("the final evaluation of lane 2"),
                         "waiting for the final evaluation of lane 2")
        self.assertEqual(text.waiting("worker 0 waits for shard 1, for 3.0 s"),
                         "worker 0 waits for shard 1, for 3.0 s")
