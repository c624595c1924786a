"""Coverage-guided fuzzing with atheris (libFuzzer); started by `tests/fuzz/run`."""

import argparse
import importlib
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description="Give a parser inputs that reach new code.")
    parser.add_argument("target", choices=["config", "kubeconfig", "manifest", "watch"])
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs (default 100000)")
    parser.add_argument("--seconds", type=int, default=0, help="stop after this time (default: never)")
    options = parser.parse_args()
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["kproxy"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = targets[options.target]
    corpus, found = BUILD / options.target / "corpus", BUILD / options.target / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = BUILD / options.target / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    flags = {
        "runs": options.runs,
        "max_total_time": options.seconds,
        "max_len": 4096,
        "timeout": 10,
        "rss_limit_mb": 1024,
        "dict": words,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(corpus)], target.run)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    """As libFuzzer's dictionaries want it."""
    return "".join(char if char.isalnum() or char in ".-_/:" else f"\\x{ord(char):02x}" for char in word)


if __name__ == "__main__":
    main()
