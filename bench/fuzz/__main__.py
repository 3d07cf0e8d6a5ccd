"""python -m bench.fuzz TARGET SEEDS_DIRECTORY [libFuzzer options]: needs atheris; `make fuzz` sets it up."""

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found]  # in an environment of its own

with atheris.instrument_imports(include=["watcher", "bench.fuzz.targets"]):
    from bench.fuzz.targets import TARGETS, seeds


def main() -> None:
    target, folder, *options = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (Path(folder) / f"seed-{number:03}").write_bytes(seed)
    atheris.Setup([f"fuzz {target}", *options, folder], TARGETS[target])
    atheris.Fuzz()


main()
