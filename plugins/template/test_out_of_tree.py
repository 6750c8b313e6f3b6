"""Runs the README's first block of shell in an empty folder, with an installation that is the header and the binary alone."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--header", type=pathlib.Path, required=True)
    parser.add_argument("--hookwire", type=pathlib.Path, required=True)
    args = parser.parse_args()
    block = re.search(r"^```sh\n(.*?)^```", (HERE / "README.md").read_text(), re.M | re.S)[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prefix = folder / "prefix"
        (prefix / "include/hookwire").mkdir(parents=True)
        shutil.copy(args.header, prefix / "include/hookwire")
        shutil.copytree(HERE, folder / "plugins/template")
        environment = {**os.environ, "PREFIX": str(prefix), "PATH": f"{args.hookwire.parent}:{os.environ['PATH']}"}
        run = subprocess.run(["sh", "-eu", "-c", block], cwd=folder, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=100)
    last = run.stdout.strip().split("\n")[-1]
    if run.returncode != 0 or not re.fullmatch(r"my-plugin/build/template\.so: template 1\.0, plugin interface 1\.1, hooks: authorize", last):
        sys.exit(f"exit {run.returncode}\n{run.stdout}")


if __name__ == "__main__":
    main()
