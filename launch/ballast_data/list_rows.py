"""The rows of a column of lists, as they are handed to a writer and as it keeps them. Pure."""

import numpy

from .errors import DataError


class ListRows:
    """`items` [all of them, *shape]; row r has the items from offsets[r] to offsets[r + 1]."""

    def __init__(self, items, offsets):
        self.items, self.offsets = items, offsets

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def counts(self):
        return numpy.diff(self.offsets)

    def copy(self, begin, end):
        offsets = self.offsets[begin:end + 1]
        return ListRows(self.items[offsets[0]:offsets[-1]].copy(), offsets - offsets[0])

    def row_of(self, item):
        """The row that has an item."""
        return int(numpy.searchsorted(self.offsets, item, side="right")) - 1


def joined(parts):
    """One after another."""
    starts = numpy.cumsum([0, *(part.offsets[-1] for part in parts)])
    offsets = [part.offsets[1:] + start for part, start in zip(parts, starts)]
    return ListRows(numpy.concatenate([part.items for part in parts]),
                    numpy.concatenate([numpy.zeros(1, "i8"), *offsets]))


def list_rows(column, values, where):
    """`values`: a tuple (items, counts), or any other sequence of arrays, one a row -> ListRows.
    Nothing is converted; `where`(row) names a row in messages."""
    if isinstance(values, ListRows):
        return values
    if isinstance(values, tuple):
        if len(values) != 2:
            raise DataError(f'column "{column.name}": a tuple is (items, counts), one of '
                            f"{len(values)} found; give rows as a list of arrays")
        return _from_counts(column, *values)
    rows = [_checked_row(column, row, number, where) for number, row in enumerate(values)]
    counts = numpy.array([len(row) for row in rows], "i8")
    filled = [row for row in rows if len(row)]
    items = numpy.concatenate(filled) if filled else numpy.zeros((0, *column.shape), column.dtype)
    return ListRows(items, numpy.concatenate([numpy.zeros(1, "i8"), numpy.cumsum(counts)]))


def _from_counts(column, items, counts):
    items, counts = numpy.asarray(items), numpy.asarray(counts)
    _check_items(column, items, "its items")
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts.astype("i8") < 0).any():
        raise DataError(f'column "{column.name}": (items, counts) with a whole number from 0 for '
                        f"each row expected, counts {counts.dtype} {list(counts.shape)} found; "
                        "give rows as a list of arrays, not as a tuple")
    offsets = numpy.concatenate([numpy.zeros(1, "i8"), numpy.cumsum(counts, dtype="i8")])
    if offsets[-1] != len(items):
        raise DataError(f'column "{column.name}": the counts of its rows make {offsets[-1]} items, '
                        f"{len(items)} found; a tuple is (items, counts), rows are a list")
    return ListRows(items, offsets)


def _checked_row(column, row, number, where):
    array = numpy.asarray(row)
    if array.ndim and not len(array):
        return array  # of no items: of any type
    _check_items(column, array, where(number))
    return array


def _check_items(column, items, which):
    if items.dtype != column.dtype:
        way = f'convert them with .astype("{column.dtype.name}")'
        raise DataError(f'column "{column.name}", {which}: lists of {column.type} expected, '
                        f"{items.dtype} found; {way}")
    if items.ndim == 0 or items.shape[1:] != column.shape:
        raise DataError(f'column "{column.name}", {which}: lists of shape [items'
                        f'{"".join(f", {extent}" for extent in column.shape)}] expected, '
                        f"{list(items.shape)} found")
