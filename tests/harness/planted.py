# SPDX-License-Identifier: Apache-2.0
"""planted: one of our programs with a mistake in it (TRIBUTARY_BREAK_...), for stories in which it must be found."""

import os
import re
import subprocess

from cluster import ROOT
from process import Failure


def commands(build, program):
    done = subprocess.run(["ninja", "-C", build, "-t", "commands", f"bin/{program}"], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failure(f"{build} is no build by ninja: {done.stderr.strip()}")
    return done.stdout.splitlines()


def shell(command, build):
    done = subprocess.run(command, shell=True, cwd=build, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{command[:120]}...: {done.stderr[-500:]}")


def sources_of(mistake):
    """Where it is planted; files may be split and moved."""
    done = subprocess.run(["grep", "-rlE", "--include=*.c", rf"TRIBUTARY_BREAK_{mistake}\b", "common", "proto", "edge",
                           "regional", "global"], cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Failure(f"there is no mistake {mistake} to plant")
    return done.stdout.split()


def planted(bin_folder, program, mistake, folder):
    """The path of `program` with `mistake` planted in it: built as the one in bin_folder was, but into folder."""
    build = os.path.dirname(os.path.abspath(bin_folder))
    known = commands(build, program)
    linked = next((c for c in known if f"-o bin/{program} " in c), None)
    objects = []
    for source in sources_of(mistake):
        compiled = next((c for c in known if re.search(rf"-c \S*/{re.escape(source)}$", c)), None)
        if compiled is None or linked is None:
            raise Failure(f"{build} does not tell how {program} and {source} are built")
        objects.append(os.path.join(folder, f"{os.path.basename(source)}.o"))
        compiled = re.sub(r" -MD -MT \S+ -MF \S+", "", compiled)
        shell(re.sub(r" -o \S+", f" -w -DTRIBUTARY_BREAK_{mistake}=1 -o {objects[-1]}", compiled), build)
    path = os.path.join(folder, f"{program}-{mistake.lower()}")
    shell(linked.replace(f"-o bin/{program} ", f"-o {path} {' '.join(objects)} "), build)
    return path
