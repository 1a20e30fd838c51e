#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed: writes the files of the page, and the charts' where they are there, as one C file.

    embed.py OUT.c PAGE_FOLDER [CHARTS_FOLDER]

Without charts their two files are empty: the page says so, and shows tables.
"""
import gzip
import hashlib
import os
import sys

FILES = (  # path, type, name
    ("/", "text/html; charset=utf-8", "index.html"),
    ("/page/icon.svg", "image/svg+xml", "icon.svg"),
    ("/page/page.css", "text/css; charset=utf-8", "page.css"),
    ("/page/page.js", "text/javascript; charset=utf-8", "page.js"),
    ("/page/ask.js", "text/javascript; charset=utf-8", "ask.js"),
    ("/page/draw.js", "text/javascript; charset=utf-8", "draw.js"),
)
CHARTS = (
    ("/page/charts.css", "text/css; charset=utf-8", "dist/uPlot.min.css"),
    ("/page/charts.js", "text/javascript; charset=utf-8", "dist/uPlot.iife.min.js"),
)


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def charts(folder, name):
    if not folder:
        return b""
    licence = read(folder, "LICENSE").replace(b"*/", b"* /")
    return b"/*!\n" + licence + b"*/\n" + read(folder, name)


def array(name, data):
    lines = [", ".join(f"0x{byte:02x}" for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    return f"static const uint8_t {name}[] = {{\n    " + ",\n    ".join(lines or ["0"]) + "};\n"


def main():
    out, page, folder = sys.argv[1], sys.argv[2], (sys.argv + [""])[3]
    files = [(path, kind, read(page, name)) for path, kind, name in FILES]
    files += [(path, kind, charts(folder, name)) for path, kind, name in CHARTS]
    text = '/* Made by global/page/embed.py. */\n#include "global/global_page.h"\n\n'
    rows = []
    for i, (path, kind, data) in enumerate(files):
        packed = gzip.compress(data, 9, mtime=0)
        if len(packed) >= len(data):
            packed = b""
        text += array(f"text_{i}", data) + array(f"packed_{i}", packed)
        etag = hashlib.sha256(data).hexdigest()[:32]
        rows.append(f'    {{"{path}", "{kind}", "\\"{etag}\\"", {{text_{i}, {len(data)}}}, {{packed_{i}, {len(packed)}}}}},\n')
    text += "\nconst struct global_page_file global_page_files[] = {\n" + "".join(rows) + "};\n"
    text += "const size_t global_page_file_count = countof(global_page_files);\n"
    with open(out + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(out + ".new", out)


main()
