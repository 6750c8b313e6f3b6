"""Runs the README's blocks of shell in a copy of this folder, with an installation that is what plugins are built with and the binary."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SAYS = r"build/template\.so: template 1\.0, plugin interface 1\.1, hooks: authorize"


def run(command, cwd, environment):
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    if done.returncode != 0:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    args = parser.parse_args()
    blocks = re.findall(r"^```sh\n(.*?)^```", (HERE / "README.md").read_text(), re.M | re.S)
    if len(blocks) != 3:
        sys.exit("the README has other blocks than this test knows")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run(["cmake", "--install", args.build, "--component", "plugin-kit", "--prefix", folder / "first"], folder, os.environ)
        prefix = (folder / "first").rename(folder / "moved")  # nothing in it may know where it was installed
        copy = shutil.copytree(HERE, folder / "my-plugin")
        environment = {**os.environ, "CMAKE_PREFIX_PATH": str(prefix), "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
                       "PATH": f"{args.build}:{os.environ['PATH']}"}
        said = [run(["sh", "-eu", "-c", block], copy, environment) for block in blocks]
        for made in ("build/template.so", "template.so"):
            if not (copy / made).is_file():
                sys.exit(f"there is no {made}\n{said}")
        if not re.fullmatch(SAYS, said[2].strip()):
            sys.exit(f"it says: {said[2]}")
        run([args.build / "hookwire", "check", "--plugin", copy / "template.so"], copy, environment)
        run(["cmake", "--install", "build", "--prefix", folder / "plugins"], copy, environment)
        if not (folder / "plugins/lib/hookwire/plugins/template.so").is_file():
            sys.exit("cmake --install puts it elsewhere")


if __name__ == "__main__":
    main()
