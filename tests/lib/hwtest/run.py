"""Runs the test_* functions of a file."""
import argparse
import contextlib
import fnmatch
import inspect
import os
import pathlib
import random
import resource
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


SKIPPED = 77  # the exit status that ctest shows as skipped


class Skipped(Exception):
    """This machine cannot run the test, and why. It is no pass: where CI is set it fails."""


class Forbidden(Skipped):
    """The same of a right that this process has not got, and that no set-up gives: it is shown as skipped in CI too."""


def need_files(count):
    """So many descriptors for this process and, as its child, for a broker; Skipped when the machine does not give them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, count),) * 2)  # root may raise it
    except (OSError, ValueError):
        raise Skipped(f"{count} descriptors are needed, and this process may open {most}") from None


def seed_of_run():
    """What a test that has chances is to seed them with; HOOKWIRE_SEED, which is printed, repeats it."""
    seed = int(os.environ.get("HOOKWIRE_SEED") or random.SystemRandom().getrandbits(31))
    print(f"     HOOKWIRE_SEED={seed}", flush=True)
    return seed


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
    ends = [_run_one(name, function) for name, function in tests]
    failed, skipped = ends.count("FAIL"), ends.count("SKIP")
    print(f"{ends.count('ok')} passed, {failed} failed" + (f", {skipped} SKIPPED" if skipped else ""), flush=True)
    sys.exit(1 if failed or not tests else SKIPPED if skipped else 0)


def _run_one(name, function):
    started, end = time.monotonic(), "ok"
    try:
        function()
    except KeyboardInterrupt:
        raise
    except Skipped as why:
        end = "FAIL" if os.environ.get("CI") and not isinstance(why, Forbidden) else "SKIP"
        print(f"NOT RUN: {why}", flush=True)
    except BaseException:
        end = "FAIL"
        traceback.print_exc(file=sys.stdout)
    print(f"{end:4} {name} ({time.monotonic() - started:.2f} s)", flush=True)
    return end
