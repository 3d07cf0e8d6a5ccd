"""A process for one picture: SVG on stdin, PNG on stdout, the width in pixels as its argument.

Run as a script, so that nothing of the program has to be imported: it is up in a few hundredths of a second.
"""

import sys
from pathlib import Path

import resvg_py

FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"


def main() -> int:
    """Draw; the exit code is 0 when there is a picture, and stderr says why when there is none."""
    if not FONT.is_file():
        # Without a font all text would vanish, and no error would say so.
        sys.stderr.write("the font is missing from the installation")
        return 1
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=sys.stdin.buffer.read().decode(),
            width=int(sys.argv[1]),
            font_files=[str(FONT)],
            skip_system_fonts=True,
            font_family="DejaVu Sans",
            sans_serif_family="DejaVu Sans",
        )
    except ValueError as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.buffer.write(png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
