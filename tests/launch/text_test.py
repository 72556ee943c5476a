"""Lines as people read them."""

import unittest

from ballast_launcher import text


class Waiting(unittest.TestCase):
    def test_those_who_have_not_joined_are_named_and_cut_short(self):
        two = "shard 0 has not joined (0.1 s), worker 1 has not joined (0.1 s)"
        many = ", ".join(f"shard {index} has not joined (0.0 s)" for index in range(40))

        self.assertEqual(text.waiting(two), "waiting for shard 0, worker 1 to join (0.1 s)")
        self.assertEqual(text.waiting(many),
                         "waiting for shard 0, shard 1, shard 2 and 37 more to join (0.0 s)")

    def test_other_reasons_are_told_as_they_are(self):
        self.assertEqual(text.waiting("the final evaluation of lane 2"),
                         "waiting for the final evaluation of lane 2")
        self.assertEqual(text.waiting("worker 0 waits for shard 1, for 3.0 s"),
                         "worker 0 waits for shard 1, for 3.0 s")
