"""Columns of a data set, and the check of what is handed to a writer. Pure."""

import dataclasses
import difflib

import numpy

from .errors import DataError
from .list_rows import list_rows

# Names and numbers as in schemas/chunk.fbs.
DTYPES = {"u8": numpy.dtype("u1"), "i32": numpy.dtype("<i4"), "i64": numpy.dtype("<i8"),
          "f16": numpy.dtype("<f2"), "f32": numpy.dtype("<f4")}
TYPE_NUMBERS = {name: number for number, name in enumerate(DTYPES)}


@dataclasses.dataclass(frozen=True)
class Column:
    """Rows of one fixed shape, an empty one being one value a row; or, if `variable`, rows that are
    lists of items of that shape, any number of them."""
    name: str
    type: str
    shape: tuple = ()
    variable: bool = False

    @property
    def dtype(self):
        return DTYPES[self.type]

    @property
    def width(self):
        """Values of a row, or of an item of a list."""
        values = 1
        for extent in self.shape:
            values *= extent
        return values

    @property
    def item_bytes(self):
        return self.width * self.dtype.itemsize

    @property
    def row_bytes(self):
        """Of lists the fewest: the 4 bytes of a count."""
        return 4 if self.variable else self.item_bytes

    @property
    def is_integer(self):
        return self.dtype.kind in "iu"


def lists(kind, shape=()):
    """A column of lists: {"words": lists("i32"), "boxes": lists("f32", (4,))}"""
    return kind, shape, True


def column_of(name, kind):
    """"i32", ("u8", (28, 28)) or lists("i32") -> Column."""
    kind, shape, *variable = (kind, ()) if isinstance(kind, str) else kind
    if not isinstance(name, str) or not name:
        raise DataError(f"column {name!r}: a name expected")
    if kind not in DTYPES:
        raise DataError(f'column "{name}": type {kind!r} is none of {", ".join(DTYPES)}')
    shape = tuple(int(extent) for extent in shape)
    if any(not 0 < extent < 1 << 32 for extent in shape):
        raise DataError(f'column "{name}": a row of shape {list(shape)} has no legal size')
    return Column(name, kind, shape, variable == [True])


def columns_of(given):
    """{"pixels": ("u8", (28, 28)), "label": "i32"}, or Columns -> (Column, ...)"""
    pairs = (given.items() if isinstance(given, dict) else
             [(column.name, (column.type, column.shape, column.variable)) for column in given])
    columns = tuple(column_of(name, kind) for name, kind in pairs)
    if not columns:
        raise DataError("a data set needs at least one column")
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f'two columns named "{name}"')
    return columns


def checked_arrays(columns, values, allow_nonfinite, where):
    """The values of each column, in the order of `columns`: arrays [rows, *shape], of lists
    ListRows. `where`(row) names a row of `values` in messages. Nothing is converted: another type
    is refused."""
    names = [column.name for column in columns]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise DataError(f'no column "{name}" in the data set{hint} it has: {", ".join(names)}')
    arrays = [checked_array(column, values, where) for column in columns]
    for column, array in zip(columns, arrays):
        if len(array) != len(arrays[0]):
            raise DataError(f'column "{column.name}": {len(arrays[0])} rows expected, as in '
                            f'"{columns[0].name}", {len(array)} found')
        if column.dtype.kind == "f" and not allow_nonfinite:
            check_finite(column, array, where)
    return arrays


def checked_array(column, values, where):
    if column.name not in values:
        raise DataError(f'column "{column.name}" is missing; found: '
                        f'{", ".join(map(str, values)) or "no columns"}')
    if column.variable:
        return list_rows(column, values[column.name], where)
    array = numpy.asarray(values[column.name])
    if array.dtype != column.dtype:
        way = ('make one array of its rows with numpy.stack' if array.dtype == object
               else f'convert it with .astype("{column.dtype.name}")')
        raise DataError(f'column "{column.name}": {column.type} expected, {array.dtype} found; '
                        f"{way}")
    if array.shape[1:] != column.shape or array.ndim == 0:
        raise DataError(f'column "{column.name}": arrays of shape [rows'
                        f'{"".join(f", {extent}" for extent in column.shape)}] expected, '
                        f"{list(array.shape)} found")
    return array


def check_finite(column, array, where):
    values = array.items if column.variable else array
    finite = numpy.isfinite(values)
    if finite.all():
        return
    index = int(numpy.flatnonzero(~finite.reshape(-1))[0])
    row, value = divmod(index, column.width)
    if column.variable:
        row = array.row_of(row)
        value = index - int(array.offsets[row]) * column.width
    raise DataError(f'column "{column.name}", {where(row)}, value {value}: a finite number '
                    f"expected, {values.reshape(-1)[index]} found; training refuses it "
                    "(allow_nonfinite=True keeps it)")
