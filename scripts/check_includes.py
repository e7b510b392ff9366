#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that includes go one way: check_includes.py [ROOT]

A folder of src/ may include itself and the folders that ALLOWED names. Files of src/kernels/cpu/<isa>/ are compiled with flags
that not every CPU has, so they include nothing that could leave a shared copy of a function behind (see check_objects.sh).
Called by .ci/run; exit status 1 with one line for each breach, or when there is nothing to check.
"""

import pathlib
import re
import sys

# folder -> what it may include besides itself. A file's name stands for that file alone.
ALLOWED = {
    "core": [],
    "formats": ["core"],
    "text": ["core"],
    "kernels": ["core"],
    "model": ["core", "formats", "kernels"],
    "runtime": ["core", "kernels/backend.h", "model"],
    "engine": ["core", "formats", "text", "kernels", "model", "runtime"],
    "convert": ["core", "formats", "text", "model", "kernels", "runtime"],
    "hub": ["core"],
    "train": ["core", "formats", "text", "model", "runtime", "engine", "convert"],
    "bench": ["core", "kernels", "model", "runtime", "engine"],
    "server": ["core", "text", "engine"],
    "cli": ["core", "formats", "text", "kernels", "model", "runtime", "engine", "convert", "hub", "train", "bench", "server"],
}
# Folders that may include the public headers, include/tern/.
PUBLIC = {"engine", "server", "cli"}
# What a file of src/kernels/cpu/<isa>/ may include besides headers of its own folder.
ISA_QUOTED = {"kernels/cpu/kernel_table.h"}
ISA_SYSTEM = {"cstdint", "cstddef", "immintrin.h", "arm_neon.h", "arm_sve.h", "arm_acle.h"}
# The scalar folder is compiled with the flags of the whole tree: a copy of a function that it leaves is like any other. It may
# use the standard library and core, but of kernels no more than an ISA file.
BASELINE = "scalar"

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>|(\S+))')
SUFFIXES = {".h", ".cc", ".hpp", ".cpp", ".cu", ".inc"}


def includes(path):
    """(line number, quoted name or None, system name or None) of each include line."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) or match.group(3), match.group(2)


def isa_breach(folder, quoted, system, own):
    """Why a file of the ISA folder `folder` (path below src/) may not include this, or None."""
    if system:
        if system in ISA_SYSTEM or folder.name == BASELINE:
            return None
        return f"<{system}> in a file of {folder}: it may leave a shared copy of a function"
    if quoted in ISA_QUOTED or own.exists() or (folder.name == BASELINE and quoted.startswith("core/")):
        return None
    return f'"{quoted}" in a file of {folder}: only kernels/cpu/kernel_table.h and headers of its own folder'


def layer_breach(layer, quoted, src):
    """Why a file of src/<layer>/ may not include the quoted name, or None."""
    if quoted.startswith("tern/"):
        if not (src.parent / "include" / quoted).exists():
            return f'"{quoted}": no such file below include/'
        return None if layer in PUBLIC else f'"{quoted}": {layer} may not include the public headers'
    if not (src / quoted).exists():
        return f'"{quoted}": no such file below src/ (includes are written from src/)'
    target = quoted.split("/")[0]
    if target == layer or target in ALLOWED[layer] or quoted in ALLOWED[layer]:
        return None
    return f'"{quoted}": {layer} may include only {", ".join([layer] + ALLOWED[layer])}'


def breaches_of(path, src):
    relative = path.relative_to(src)
    layer = relative.parts[0]
    if layer not in ALLOWED:
        yield 1, f"folder src/{layer} has no line in ALLOWED of check_includes.py"
        return
    isa = pathlib.Path(*relative.parts[:3]) if relative.parts[:2] == ("kernels", "cpu") and len(relative.parts) > 3 else None
    for number, quoted, system in includes(path):
        if system == "iostream" and layer != "cli":
            yield number, "<iostream>: only cli may write to the standard streams"
        elif isa:
            # A header of the own folder, by its short name or written from src/.
            own = path.parent / quoted if quoted and "/" not in quoted else src / (quoted or "")
            own_folder = (src / isa) in own.parents
            breach = isa_breach(isa, quoted, system, own if own_folder else pathlib.Path("/nonexistent"))
            if breach:
                yield number, breach
        elif quoted:
            breach = layer_breach(layer, quoted, src)
            if breach:
                yield number, breach


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    src = root / "src"
    files = sorted(p for p in src.rglob("*") if p.suffix in SUFFIXES)
    if not files:
        sys.exit(f"check_includes.py: no source file below {src}")
    bad = 0
    for path in files:
        for number, breach in breaches_of(path, src):
            print(f"{path.relative_to(root)}:{number}: {breach}")
            bad += 1
    print(f"include directions: {len(files)} files, {bad} breaches")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
