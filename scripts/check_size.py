#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that files and functions stay small: check_size.py [ROOT]

A file has at most 600 lines, a function at most 60 from its opening to its closing brace (150 in src/kernels). EXCUSED names the
exceptions with their reasons; an excuse that is no longer needed is an error too, so that the list stays true.
Called by .ci/run; exit status 1 with one line for each breach, or when there is nothing to check.
"""

import pathlib
import re
import sys

FILE_LINES, FUNCTION_LINES, KERNEL_FUNCTION_LINES = 600, 60, 150
CODE_SUFFIXES = {".h", ".hpp", ".cc", ".cpp", ".cu"}
TEXT_SUFFIXES = {".py", ".sh", ".cmake", ".inc"}
FOLDERS = ["src", "include", "tests", "bench", "fuzz", "scripts", "lab"]

# "path" excuses the file's length, "path:function" that function's. Each with its reason.
EXCUSED = {
}

BLANKED = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^\s()\\]{0,16})\((?:.*?)\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z])\'(?:\\.|[^\'\\\n])+\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
NOT_A_FUNCTION = re.compile(r"^\s*(?:namespace|class|struct|union|enum|concept)\b|^\s*extern\s*$|^\s*(?:export\s+)?inline\s+namespace\b")
TEMPLATE = re.compile(r"^\s*template\s*<[^;{]*?>\s*(?=class|struct|union|concept)")
LAMBDA = re.compile(r"(?<![\w\]])\[[^\[\]]*\]\s*(?:\([^{}]*\))?[^(){};=]*$")
NAME = re.compile(r"([~\w:]+|operator\s*\S+?)\s*\(")


def blank(text):
    """The text with comments, strings, character constants and preprocessor lines blanked out, line breaks kept."""
    spaces = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    return DIRECTIVE.sub(spaces, BLANKED.sub(spaces, text))


def function_name(head):
    """The function's name when `head`, the text between the last ; { or } and an opening brace, begins one; else None."""
    head = head.strip()
    if LAMBDA.search(head):
        return "a lambda"
    if TEMPLATE.match(head) or NOT_A_FUNCTION.match(head) or "(" not in head:
        return None
    # A variable's initialiser (`int a = f({`) is none; an operator's name and a default argument hold their = in parentheses.
    outside = re.sub(r"\([^()]*\)", "()", head)
    while re.search(r"\([^()]+\)", outside):
        outside = re.sub(r"\([^()]+\)", "()", outside)
    if re.search(r"(?<![=!<>+\-*/])=(?!=)", outside.replace("operator=", "")):
        return None
    match = NAME.search(head)
    return match.group(1) if match else None


def functions(text):
    """(name, first line, lines) of each function that is not inside another one."""
    text = blank(text)
    line, head_start, depth = 1, 0, 0
    stack = []  # of (depth, name or None, line)
    for i, char in enumerate(text):
        if char == "\n":
            line += 1
        elif char == "{":
            inside = any(name for _, name, _ in stack)
            name = None if inside else function_name(text[head_start:i])
            stack.append((depth, name, line))
            depth += 1
            head_start = i + 1
        elif char == "}":
            if stack:
                depth, name, first = stack.pop()
                if name:
                    yield name, first, line - first + 1
            head_start = i + 1
        elif char == ";":
            head_start = i + 1


def breaches_of(path, relative):
    """(key of EXCUSED, line, text) of each thing that is too long."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield relative, 1, f"{lines} lines, at most {FILE_LINES}"
    if path.suffix in CODE_SUFFIXES:
        limit = KERNEL_FUNCTION_LINES if relative.startswith("src/kernels/") else FUNCTION_LINES
        for name, first, length in functions(text):
            if length > limit:
                yield f"{relative}:{name}", first, f"{name} has {length} lines, at most {limit}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    files = sorted(p for folder in FOLDERS for p in (root / folder).rglob("*")
                   if p.suffix in CODE_SUFFIXES | TEXT_SUFFIXES and p.is_file())
    if not files:
        sys.exit(f"check_size.py: no source file below {root}")
    bad, used, seen = 0, set(), 0
    for path in files:
        relative = path.relative_to(root).as_posix()
        if path.suffix in CODE_SUFFIXES:
            seen += sum(1 for _ in functions(path.read_text(encoding="utf-8", errors="replace")))
        for key, line, text in breaches_of(path, relative):
            used.add(key)
            if key not in EXCUSED:
                print(f"{relative}:{line}: {text}")
                bad += 1
    for key in sorted(set(EXCUSED) - used) if (root / "scripts" / "check_size.py").exists() else []:
        print(f"check_size.py: the excuse for {key} is no longer needed")
        bad += 1
    print(f"sizes: {len(files)} files, {seen} functions, {bad} breaches")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
