"""A table on the screen: drawn by rich on a terminal, aligned text elsewhere."""

import sys

try:
    from rich.console import Console
    from rich.table import Table
except ImportError:
    Console = None


def plain(columns, rows):
    cells = [columns] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = []
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def show(columns, rows, title=None):
    """The first column is left-aligned, the others are numbers."""
    if not (Console and sys.stdout.isatty()):
        if title:
            print(title)
        print(plain(columns, rows))
        return
    drawn = Table(title=title)
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        drawn.add_row(*[str(cell).replace("[", "\\[") for cell in row])
    Console().print(drawn)
