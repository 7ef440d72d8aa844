"""Coverage-guided fuzzing: `python -m tests.fuzz TARGET --seconds N`; `make fuzz` runs all targets.

New inputs are stored outside the repository. `--keep` adds those that reach code the corpus does
not. A failing input is written beside them, its path is printed, and the command ends with 77: add
the file to the corpus together with the change that makes it pass.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import atheris
import structlog

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(tempfile.gettempdir()) / "kis-bond-fuzz"
LONGEST = {
    "frame": 4096,
    "sealed_frame": 4096,
    "control_message": 2048,
    "control_value": 2048,
    "control_key": 256,
    "peer_text": 256,
    "journal": 256,
}


def main():
    """Fuzz one target until its time is over or a check fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=LONGEST)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--keep",
        action="store_true",
        help="fuzz nothing: add what was found before to the corpus, where it reaches more",
    )
    # To merge into the corpus, libFuzzer runs this command again, its options after the target.
    given, own = parser.parse_known_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # or every input would log its damage
    with atheris.instrument_imports(
        include=["connector.core", "connector.logs.redaction", "connector.logs.spellings", "connector.shell.journal"]
    ):
        from tests.fuzz import checks, journal  # noqa: PLC0415 - instrumented as they are imported
    check = journal.damaged if given.target == "journal" else getattr(checks, given.target)
    corpus, found = CORPUS / given.target, FOUND / given.target
    found.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(exist_ok=True)
    folders = (
        ["-merge=1", f"{corpus}", f"{found}"]
        if given.keep
        else [f"-max_total_time={given.seconds}", f"{found}", f"{corpus}"]
    )
    limits = f"-max_len={LONGEST[given.target]} -timeout=20 -rss_limit_mb=4096"
    options = f"{limits} -print_final_stats=1 -artifact_prefix={found}/"
    words = Path(__file__).parent / "words.txt"
    atheris.Setup(
        [f"{sys.executable} -m tests.fuzz {given.target}", *(own or [*options.split(), f"-dict={words}", *folders])],
        check,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
