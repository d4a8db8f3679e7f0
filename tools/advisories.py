"""`cargo deny check advisories`, with RustSec's database as new as it can be had here.

The database is a git repository on GitHub. A machine that cannot reach it checks against the copy of an earlier run; one
that has none says so in one line, and the check is left to one that can. What the check finds fails, wherever.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

# The clone takes seconds; where nothing answers, git by itself would wait for minutes.
FETCH_WITHIN_SECONDS = 60


def fetch() -> str | None:
    """Brings the database up to date; why not, where it cannot."""
    # Its own session: git runs in a process below cargo-deny's, and has to end too.
    fetching = subprocess.Popen(
        ["cargo", "deny", "fetch", "db"],
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = fetching.communicate(timeout=FETCH_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        # Not killed: git takes away what it has begun to clone.
        os.killpg(fetching.pid, signal.SIGTERM)
        fetching.communicate()
        return f"no answer within {FETCH_WITHIN_SECONDS} seconds"
    if fetching.returncode == 0:
        return None
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"cargo-deny ended with {fetching.returncode}"


def has_copy() -> bool:
    cargo_home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return any((cargo_home / "advisory-dbs").glob("*/.git/HEAD"))


def main() -> int:
    check = ["cargo", "deny", "check", "advisories"]
    # Before: a clone that has just been broken off is none.
    is_there = has_copy()
    why_not = fetch()
    if why_not is not None and is_there:
        print(f"advisories: checked against the last copy of RustSec's database: {why_not}", flush=True)
        check.insert(2, "--offline")
    elif why_not is not None:
        print(f"advisories: NOT CHECKED, RustSec's database cannot be fetched: {why_not}", flush=True)
        return 0
    return subprocess.run(check, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
