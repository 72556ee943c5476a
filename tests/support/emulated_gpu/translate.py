"""Makes C++ of a CUDA source: kernel<<<grid, block, shared, stream>>>(arguments) becomes a call of
emulated_gpu::launch, dynamic shared memory a pointer. All else of CUDA is in device.h.

    translate.py IN.cu OUT.cc
"""

import re
import sys
from pathlib import Path


def matching(text: str, at: int) -> int:
    """Where the bracket at `at` is closed."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError(f"unclosed: {text[at:at + 40]!r}")


def arguments(text: str) -> list[str]:
    """`text` cut at its outermost commas."""
    parts, depth = [""], 0
    for c in text:
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts]


def with_launches(text: str) -> str:
    while (at := text.find("<<<")) >= 0:
        name = re.search(r"[\w:]+(<[^<>;(){}]*>)?\s*$", text[:at])
        if name is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1}: no kernel's name before <<<")
        end = text.index(">>>", at)
        opened = text.index("(", end)
        closed = matching(text, opened)
        grid, block, *rest = arguments(text[at + 3:end])
        shared, stream = (rest + ["0", "nullptr"])[:2]
        kernel = text[name.start():at].strip()
        call = (f"::emulated_gpu::launch({grid}, {block}, {shared}, {stream}, [=] {{ "
                f"{kernel}({text[opened + 1:closed]}); }})")
        text = text[:name.start()] + call + text[closed + 1:]
    return text


def with_dynamic_shared(text: str) -> str:
    return re.sub(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*|alignas\(\d+\)\s*)?([\w:]+)\s+(\w+)\[\];",
                  r"\1* \2 = static_cast<\1*>(::emulated_gpu::dynamic_shared());", text)


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    try:
        text = with_launches(with_dynamic_shared(source.read_text()))
    except ValueError as error:
        sys.exit(f"{source}: {error}")
    target.write_text(f'#line 1 "{source}"\n{text}')


if __name__ == "__main__":
    main()
