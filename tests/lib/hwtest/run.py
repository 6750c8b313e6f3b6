"""Runs the test_* functions of a file."""
import argparse
import contextlib
import fnmatch
import inspect
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback


@contextlib.contextmanager
def temporary_directory():
    """A directory (pathlib.Path) that goes away afterwards; kept when HOOKWIRE_KEEP is set."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hookwire-test-"))
    try:
        yield path
    finally:
        if os.environ.get("HOOKWIRE_KEEP"):
            print(f"kept: {path}", flush=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def main():
    """The end of every test file: runs its test_* functions in the order written, exits 1 when one fails or none ran."""
    scope = inspect.currentframe().f_back.f_globals
    if scope["__name__"] == "__main__":
        main_of(scope)


def main_of(scope):
    """main() of the file with these globals."""
    parser = argparse.ArgumentParser(description="a functional test of Hookwire")
    parser.add_argument("--hookwire", metavar="PATH", help="the binary (default: $HOOKWIRE_BIN, else build/hookwire)")
    parser.add_argument("-k", metavar="PATTERN", default="*", help="only tests whose name, without test_, matches")
    parser.add_argument("--keep", action="store_true", help="keep temporary directories and say where they are")
    options = parser.parse_args()
    if options.hookwire:
        os.environ["HOOKWIRE_BIN"] = os.path.abspath(options.hookwire)
    if options.keep:
        os.environ["HOOKWIRE_KEEP"] = "1"
    tests = [(name, f) for name, f in scope.items()
             if name.startswith("test_") and inspect.isfunction(f) and fnmatch.fnmatch(name[5:], options.k)]
    failed = [name for name, function in tests if not _run_one(name, function)]
    print(f"{len(tests) - len(failed)} passed, {len(failed)} failed", flush=True)
    sys.exit(1 if failed or not tests else 0)


def _run_one(name, function):
    started = time.monotonic()
    try:
        function()
    except KeyboardInterrupt:
        raise
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        print(f"FAIL {name} ({time.monotonic() - started:.2f} s)", flush=True)
        return False
    print(f"ok   {name} ({time.monotonic() - started:.2f} s)", flush=True)
    return True
