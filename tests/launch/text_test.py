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
