"""A run directory as others than its owner see it."""

import pathlib
import tempfile
import unittest
from unittest import mock

from ballast_launcher import status
from ballast_launcher.errors import BAD_INPUT, LauncherError
from ballast_launcher.run_directory import RunDirectory


class OfAnotherUser(unittest.TestCase):
    def test_it_is_not_taken_for_a_folder_without_a_run(self):
        with tempfile.TemporaryDirectory(prefix="ballast-test-") as folder:
            (pathlib.Path(folder) / "job.toml").write_text("")
            for look in (RunDirectory.reopen, status.show):
                with self.subTest(look=look), mock.patch("os.access", return_value=False):
                    with self.assertRaises(LauncherError) as refused:
                        look(folder)

                    self.assertIn(f"{folder}: no permission to read", str(refused.exception))
                    self.assertEqual(refused.exception.exit_code, BAD_INPUT)
