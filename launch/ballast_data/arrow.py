"""Arrow's types and arrays as columns of a data set. The only files that need pyarrow are this and
parquet.py. Pure."""

import numpy
import pyarrow

from .columns import column_of
from .errors import DataError
from .list_rows import ListRows

# Where a type of ours holds every value; only double is rounded, to f32.
TYPES = {pyarrow.bool_(): "u8", pyarrow.uint8(): "u8", pyarrow.int8(): "i32",
         pyarrow.int16(): "i32", pyarrow.uint16(): "i32", pyarrow.int32(): "i32",
         pyarrow.uint32(): "i64", pyarrow.int64(): "i64", pyarrow.float16(): "f16",
         pyarrow.float32(): "f32", pyarrow.float64(): "f32"}


def column_of_field(field, shape, where):
    """`shape`: what a row of a list column is said to have; None: lists of any length stay lists.
    `where` names the file."""
    kind, variable, sizes = field.type, False, []
    if _is_list(kind) and shape is None:
        kind, variable = kind.value_type, True
    while pyarrow.types.is_fixed_size_list(kind):
        sizes.append(kind.list_size)
        kind = kind.value_type
    if _is_list(kind) and not sizes and shape is not None:
        sizes, kind = shape, kind.value_type
    elif shape is not None:
        raise DataError(f'{where}: column "{field.name}" is {field.type}; --shape is for columns '
                        "of lists")
    if kind not in TYPES:
        raise DataError(f'{where}: column "{field.name}" is {field.type}; numbers, booleans or '
                        "lists of them expected: convert it before, or leave it out with --skip "
                        f"{field.name}")
    return column_of(field.name, (TYPES[kind], sizes, variable))


def values_of(array, column, null, row_name):
    """The rows of an array as a numpy array [rows, *shape], or as ListRows. `null`: the text of the
    value that stands for what is missing, or None: that is refused. row_name(row) names a row in
    messages."""
    if column.variable:
        return _list_rows(array, column, null, row_name)
    if _is_list(array.type) or pyarrow.types.is_fixed_size_list(array.type):
        values = _list_values(array, column, null, row_name)
    else:
        values = _numbers(array, column, null, row_name, 1)
    return values.reshape(len(array), *column.shape)


def _list_values(array, column, null, row_name):
    rows = len(array)
    present = ~_nulls(array)
    if not present.all():
        filling = _null_value(column, null, row_name(int(numpy.argmin(present))))
    array = array.drop_null()
    places = numpy.flatnonzero(present)
    if _is_list(array.type):
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        wrong = numpy.flatnonzero(lengths != column.width)
        if len(wrong):
            raise DataError(f'{row_name(int(places[wrong[0]]))}, column "{column.name}": a list of '
                            f"{column.width} values expected, of {lengths[wrong[0]]} found")
    while _is_list(array.type) or pyarrow.types.is_fixed_size_list(array.type):
        if array.null_count:
            place = int(places[int(numpy.argmax(_nulls(array))) * len(places) // len(array)])
            raise DataError(f'{row_name(place)}, column "{column.name}": a list inside of it is '
                            "null")
        array = array.flatten()
    values = _numbers(array, column, null, lambda row: row_name(int(places[row])), column.width)
    values = values.reshape(-1, column.width)
    if present.all():
        return values
    whole = numpy.full((rows, column.width), filling, column.dtype)
    whole[present] = values
    return whole


def _list_rows(array, column, null, row_name):
    """A list that is missing is an empty one, if `null` says anything."""
    missing = _nulls(array)
    if missing.any() and null is None:
        raise DataError(f'{row_name(int(numpy.argmax(missing)))}, column "{column.name}": a list '
                        "expected, null found; with --null VALUE it is an empty one")
    counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = ListRows(None, numpy.concatenate([[0], numpy.cumsum(counts, dtype="i8")]))
    items = array.drop_null().flatten()
    width = 1  # of an item, so far
    while pyarrow.types.is_fixed_size_list(items.type):
        if items.null_count:
            row = rows.row_of(int(numpy.argmax(_nulls(items))) // width)
            raise DataError(f'{row_name(row)}, column "{column.name}": a list inside of it is null')
        width *= items.type.list_size
        items = items.flatten()
    values = _numbers(items, column, null, lambda item: row_name(rows.row_of(item)), column.width)
    rows.items = values.reshape(-1, *column.shape)
    return rows


def _numbers(array, column, null, row_name, width):
    if array.null_count:
        row = int(numpy.argmax(_nulls(array))) // width
        array = array.cast(_stored(column))
        filling = _null_value(column, null, row_name(row))
        array = array.fill_null(pyarrow.scalar(filling, _stored(column)))
    return array.cast(_stored(column), safe=False).to_numpy(zero_copy_only=False)


def _stored(column):
    return pyarrow.from_numpy_dtype(column.dtype)


def _nulls(array):
    return array.is_null().to_numpy(zero_copy_only=False)


def _null_value(column, null, where):
    """The value of the column's type that `null` says."""
    if null is None:
        raise DataError(f'{where}, column "{column.name}": a value expected, null found; say with '
                        "--null VALUE what stands for it")
    try:
        value = int(null) if column.is_integer else float(null)
        with numpy.errstate(over="raise"):
            stored = numpy.array([value]).astype(column.dtype)[0]
        if column.is_integer and int(stored) != value:
            raise OverflowError
        return stored
    except (ValueError, OverflowError, FloatingPointError):
        raise DataError(f'{where}, column "{column.name}": --null {null} is not a value of type '
                        f"{column.type}") from None


def _is_list(kind):
    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
