"""Columns of a data set, and the check of what is handed to a writer. Pure."""

import dataclasses
import difflib

import numpy

from .errors import DataError

# Names and numbers as in schemas/chunk.fbs.
DTYPES = {"u8": numpy.dtype("u1"), "i32": numpy.dtype("<i4"), "i64": numpy.dtype("<i8"),
          "f16": numpy.dtype("<f2"), "f32": numpy.dtype("<f4")}
TYPE_NUMBERS = {name: number for number, name in enumerate(DTYPES)}


@dataclasses.dataclass(frozen=True)
class Column:
    """Rows of one fixed shape; an empty shape is one value a row."""
    name: str
    type: str
    shape: tuple = ()

    @property
    def dtype(self):
        return DTYPES[self.type]

    @property
    def width(self):
        """Values a row."""
        values = 1
        for extent in self.shape:
            values *= extent
        return values

    @property
    def row_bytes(self):
        return self.width * self.dtype.itemsize

    @property
    def is_integer(self):
        return self.dtype.kind in "iu"


def column_of(name, kind):
    """"i32" or ("u8", (28, 28)) -> Column."""
    kind, shape = (kind, ()) if isinstance(kind, str) else kind
    if not isinstance(name, str) or not name:
        raise DataError(f"column {name!r}: a name expected")
    if kind not in DTYPES:
        raise DataError(f'column "{name}": type {kind!r} is none of {", ".join(DTYPES)}')
    shape = tuple(int(extent) for extent in shape)
    if any(not 0 < extent < 1 << 32 for extent in shape):
        raise DataError(f'column "{name}": a row of shape {list(shape)} has no legal size')
    return Column(name, kind, shape)


def columns_of(given):
    """{"pixels": ("u8", (28, 28)), "label": "i32"}, or Columns -> (Column, ...)"""
    pairs = (given.items() if isinstance(given, dict)
             else [(column.name, (column.type, column.shape)) for column in given])
    columns = tuple(column_of(name, kind) for name, kind in pairs)
    if not columns:
        raise DataError("a data set needs at least one column")
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f'two columns named "{name}"')
    return columns


def checked_arrays(columns, values, allow_nonfinite, where):
    """The values of each column as arrays [rows, *shape], in the order of `columns`. `where`(row)
    names a row of `values` in messages. Nothing is converted: another type is refused."""
    names = [column.name for column in columns]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise DataError(f'no column "{name}" in the data set{hint} it has: {", ".join(names)}')
    arrays = [checked_array(column, values) for column in columns]
    for column, array in zip(columns, arrays):
        if len(array) != len(arrays[0]):
            raise DataError(f'column "{column.name}": {len(arrays[0])} rows expected, as in '
                            f'"{columns[0].name}", {len(array)} found')
        if column.dtype.kind == "f" and not allow_nonfinite:
            check_finite(column, array, where)
    return arrays


def checked_array(column, values):
    if column.name not in values:
        raise DataError(f'column "{column.name}" is missing; found: '
                        f'{", ".join(map(str, values)) or "no columns"}')
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
    finite = numpy.isfinite(array)
    if finite.all():
        return
    index = int(numpy.flatnonzero(~finite.reshape(-1))[0])
    row, value = divmod(index, column.width)
    raise DataError(f'column "{column.name}", {where(row)}, value {value}: a finite number '
                    f"expected, {array.reshape(-1)[index]} found; training refuses it "
                    "(allow_nonfinite=True keeps it)")
