"""A process that draws: SVG on stdin, PNG on stdout, the width in pixels as its argument.

Run as a script, so that nothing of the program has to be imported: it is up in a few hundredths of a second. It draws
one picture after another until stdin ends. A question is its length (four bytes, the highest first) and the SVG; an
answer is a byte, 0 for a picture and 1 for the reason why there is none, the length, and that.
"""

import signal
import sys
from pathlib import Path

import resvg_py

FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_LENGTH = 4


def main() -> int:
    """Draw what is asked for; stderr says why when nothing can be drawn at all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal it is meant for the daemon, which drains
    if not FONT.is_file():
        # Without a font all text would vanish, and no error would say so.
        sys.stderr.write("the font is missing from the installation")
        return 1
    while length := sys.stdin.buffer.read(_LENGTH):
        svg, failed = sys.stdin.buffer.read(int.from_bytes(length)), 0
        try:
            answer = _drawn(svg.decode(), int(sys.argv[1]))
        except ValueError as error:
            answer, failed = str(error).encode(), 1
        sys.stdout.buffer.write(bytes([failed]) + len(answer).to_bytes(_LENGTH) + answer)
        sys.stdout.buffer.flush()
    return 0


def _drawn(svg: str, width: int) -> bytes:
    return resvg_py.svg_to_bytes(
        svg_string=svg,
        width=width,
        font_files=[str(FONT)],
        skip_system_fonts=True,
        font_family="DejaVu Sans",
        sans_serif_family="DejaVu Sans",
    )


if __name__ == "__main__":
    sys.exit(main())
