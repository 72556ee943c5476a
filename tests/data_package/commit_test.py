"""commit and clean: each partition once, in order, whatever the tasks did; or one error."""

import concurrent.futures
import dataclasses
import json

import numpy

from ballast_data import ChunkWriter, DataError, clean, commit
from data_case import DataTest

COLUMNS = {"id": "i64", "x": ("f32", (3,)), "label": "i32"}


def rows_from(first, count):
    ids = numpy.arange(first, first + count)
    return {"id": ids, "x": numpy.stack([ids % 7, ids % 5, ids % 3], 1).astype("f4"),
            "label": (ids % 4).astype("i4")}


class CommitTest(DataTest):
    def task(self, partition, first, count, folder=None, **settings):
        """What a task does -> its receipt."""
        settings = {"block_bytes": 2400, "chunk_bytes": 20000} | settings
        with ChunkWriter(folder or self.out, COLUMNS, "label", partition, **settings) as writer:
            writer.write(rows_from(first, count))
        return writer.close()

    def refusal(self, *receipts, **settings):
        with self.assertRaises(DataError) as raised:
            commit(self.out, receipts, **settings)
        self.assertFalse((self.out / "manifest").exists())
        return str(raised.exception)


class Order(CommitTest):
    def test_rows_stand_in_the_order_of_partitions_however_they_were_split(self):
        random = numpy.random.default_rng(17)
        for seed in range(12):
            with self.subTest(seed=seed):
                folder = self.folder / str(seed)
                cuts = numpy.sort(random.integers(0, 3001, random.integers(0, 9)))
                parts = list(zip([0, *cuts], [*cuts, 3000]))
                receipts = [self.task(number, begin, end - begin, folder,
                                      block_bytes=int(random.integers(100, 9000)))
                            for number, (begin, end) in enumerate(parts)]
                random.shuffle(receipts)

                committed = commit(folder, receipts, partitions=len(parts))

                self.assertEqual(committed.rows, 3000)
                self.assertEqual(self.column(folder, "id"), list(range(3000)))

    def test_tasks_that_write_at_once_in_processes_give_one_data_set(self):
        with concurrent.futures.ProcessPoolExecutor(3) as pool:
            tasks = [pool.submit(write_task, str(self.out), k // 2, 500 * (k // 2), 500)
                     for k in range(12)]  # each partition by two tasks at once
            receipts = [task.result() for task in tasks]

        commit(self.out, receipts, partitions=6)

        self.assertEqual(self.column(self.out, "id"), list(range(3000)))
        self.assertEqual(clean(self.out), [])

    def test_partitions_of_equal_rows_both_count(self):
        receipts = [self.task(number, 0, 10) for number in range(3)]

        commit(self.out, receipts)

        self.assertEqual(self.column(self.out, "id"), 3 * list(range(10)))

    def test_an_empty_partition_is_one_without_rows(self):
        receipts = [self.task(0, 0, 10), self.task(1, 0, 0), self.task(2, 10, 10)]

        commit(self.out, receipts, partitions=3)

        self.assertEqual(self.column(self.out, "id"), list(range(20)))


class Attempts(CommitTest):
    def test_a_partition_that_ran_twice_is_committed_once(self):
        first, again = self.task(0, 0, 900), self.task(0, 0, 900)

        committed = commit(self.out, [first, again.to_json(), self.task(1, 900, 100)])

        self.assertEqual((committed.rows, committed.partitions), (1000, 2))
        self.assertEqual(self.column(self.out, "id"), list(range(1000)))

    def test_two_different_receipts_of_one_partition_are_refused(self):
        told = self.refusal(self.task(0, 0, 10), self.task(3, 10, 10), self.task(3, 10, 11))

        self.assertIn("partition 3: two different receipts, of 10 rows in ", told)
        self.assertIn("hand over one of them", told)

    def test_what_failed_tasks_left_is_harmless_until_clean_removes_it(self):
        self.task(1, 5000, 700)  # its receipt was lost
        (self.out / ".new-abc").write_text("")
        (self.out / "notes.txt").write_text("mine")
        commit(self.out, [self.task(0, 0, 300)])
        before = self.column(self.out, "id")

        removed = clean(self.out)

        self.assertIn(".new-abc", removed)
        self.assertGreater(len(removed), 1)
        self.assertEqual(self.column(self.out, "id"), before)
        self.assertEqual(clean(self.out), [])
        self.assertTrue((self.out / "notes.txt").exists())

    def test_clean_refuses_a_folder_without_a_whole_manifest(self):
        self.task(0, 0, 10)
        with self.assertRaisesRegex(DataError, "a committed data set expected: No such file"):
            clean(self.out)
        (self.out / "manifest").write_bytes(b"x" * 100)
        with self.assertRaisesRegex(DataError, "manifest is damaged, cut short or of another kind"):
            clean(self.out)
        self.assertEqual(len(self.files_of(self.out)), 2)

    def test_committing_again_changes_nothing_and_another_data_set_is_replaced_if_asked(self):
        first, other = self.task(0, 0, 10), self.task(0, 0, 20)
        once = commit(self.out, [first])

        again = commit(self.out, [first])
        with self.assertRaisesRegex(DataError, "already holds another data set"):
            commit(self.out, [other])
        replaced = commit(self.out, [other], overwrite=True)

        self.assertEqual(once, again)
        self.assertEqual((replaced.rows, len(self.files_of(self.out))), (20, 2))


class Refusals(CommitTest):
    def test_a_partition_without_a_receipt_is_named_if_their_number_is(self):
        told = self.refusal(self.task(0, 0, 10), self.task(2, 10, 10), partitions=3)
        self.assertEqual(told, "partition 1: no receipt; 3 partitions expected, 2 found")
        told = self.refusal(self.task(0, 0, 10), self.task(1, 10, 10), partitions=1)
        self.assertEqual(told, "partition 1: 0 to 0 expected")

    def test_a_missing_chunk_is_named_with_its_partition(self):
        receipt = self.task(5, 0, 10)
        path = self.out / receipt.chunks[0].name
        path.unlink()

        self.assertIn(f"partition 5: chunk {path} is missing; was it written to another folder",
                      self.refusal(receipt))

    def test_a_chunk_that_is_cut_short_or_another_is_named(self):
        receipt = self.task(5, 0, 10)
        path = self.out / receipt.chunks[0].name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        self.assertIn(f"{len(whole)} bytes expected, {len(whole) - 1} found", self.refusal(receipt))
        path.write_bytes(whole[:-16] + bytes(16))
        self.assertIn("does not end with the hash it is named by", self.refusal(receipt))

    def test_an_existing_file_of_another_size_is_not_taken_for_the_chunk(self):
        receipt = self.task(0, 0, 10)
        path = self.out / receipt.chunks[0].name
        path.write_bytes(b"cut")

        with self.assertRaisesRegex(DataError, f"exists with 3 bytes, {receipt.chunks[0].bytes} "
                                    "expected: remove it"):
            self.task(0, 0, 10)

    def test_partitions_of_other_columns_or_labels_are_refused(self):
        first = self.task(0, 0, 10)
        other = dataclasses.replace(self.task(1, 0, 10), columns=first.columns[:2])
        unlabelled = dataclasses.replace(self.task(1, 0, 10), label="")

        self.assertIn("partition 1: columns id i64 [], x f32 [3] found, id i64 [], x f32 [3], "
                      "label i32 [] expected as in partition 0", self.refusal(first, other))
        self.assertIn("partition 1: label '' found, 'label' expected",
                      self.refusal(first, unlabelled))

    def test_no_receipts_and_no_rows_are_refused(self):
        self.assertEqual(self.refusal(), "commit: no receipts")
        self.assertIn("the receipts name no rows", self.refusal(self.task(0, 0, 0)))

    def test_text_that_is_no_receipt_is_refused(self):
        stored = json.loads(self.task(0, 0, 10).to_json())
        for text in ("", "[]", "{}", json.dumps(stored | {"chunks": [{}]}),
                     json.dumps(stored | {"partition": None})):
            self.assertIn("a receipt expected", self.refusal(text))


def write_task(folder, partition, first, count):
    with ChunkWriter(folder, COLUMNS, "label", partition, block_bytes=2400) as writer:
        writer.write(rows_from(first, count))
    return writer.close()
