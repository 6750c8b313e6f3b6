#!/usr/bin/python3
# Every header compiles alone, and twice: a file that holds nothing but its #include is given to the compiler.
# ctest: timeout=120
import argparse
import concurrent.futures
import pathlib
import subprocess
import sys


def compile_alone(command, text):
    """The compiler's complaints about a source text; empty when there are none."""
    result = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.stdout if result.returncode else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--packages", default="", help="pkg-config names, separated by spaces")
    parser.add_argument("tree", type=pathlib.Path)
    options = parser.parse_args()
    flags = subprocess.check_output(["pkg-config", "--cflags", *options.packages.split()], text=True).split() \
        if options.packages else []
    command = [options.compiler, "-std=gnu11", "-D_GNU_SOURCE", "-DHW_VERSION=\"0\"", "-Wall", "-Wextra", "-Werror",
               "-fsyntax-only", *("-I" + i for i in options.include), *flags, "-x", "c", "-"]
    if not compile_alone(command, "size_t needs_stddef;\n"):
        sys.exit("the compiler accepts a declaration without its header: this check proves nothing")
    headers = sorted(options.tree.rglob("*.h"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        texts = [f'#include "{h}"\n#include "{h}"\n' for h in headers]
        complaints = list(pool.map(lambda text: compile_alone(command, text), texts))
    failed = 0
    for header, complaint in zip(headers, complaints):
        if complaint:
            failed += 1
            print(f"{header} does not compile alone:\n{complaint}")
    print(f"{len(headers) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not headers else 0)


main()
