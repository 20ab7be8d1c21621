"""Constants, structs and functions of the C header and the Cython declarations.

A type is written as in C without names: ``const double *``; a function with its result and
arguments: ``int (const matconv_geometry *, double *)``.
"""

import re
from pathlib import Path

import matconv

INCLUDE = Path(matconv.get_include())
TYPES, FUNCTIONS = (INCLUDE / "matconv" / name for name in ("types.h", "table.h"))
# the struct of all functions
TABLE = "matconv_api"
# on the 64-bit systems that the library is built for
SIZES = {"int": 4, "size_t": 8, "ptrdiff_t": 8, "float": 4, "double": 8}
POINTER = 8


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def plain(text):
    """Return a declaration with single blanks, none around parentheses, and ``type *``."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r" ?\*+", lambda stars: " " + stars.group().strip(), text)


def argument(declaration):
    """Return (type, name) of ``const double *Z`` or ``int algorithm``; "" without a name."""
    text = plain(declaration)
    words = re.findall(r"\w+|\*", text)
    if re.fullmatch(r"\w+", words[-1]) and len([w for w in words if w not in ("const", "*")]) > 1:
        return plain(text[: text.rindex(words[-1])]), words[-1]
    return text, ""


def signature(result, arguments):
    return f"{plain(result)} ({', '.join(argument(one)[0] for one in arguments.split(','))})"


def names(arguments):
    return [argument(one)[1] for one in arguments.split(",")]


def declarations(body):
    """Yield each member of a struct, with a match (result, name, arguments) of a function."""
    for text in filter(None, map(str.strip, without_comments(body).split(";"))):
        pattern = r"(.*?)\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)"
        yield text, re.fullmatch(pattern, text, re.DOTALL)


def members(body):
    """Return (name, type) of each member of a struct, in order."""
    found = []
    for declaration, function in declarations(body):
        if function:
            result, name, arguments = function.groups()
            found.append((name, signature(result, arguments)))
            continue
        kind, names = re.fullmatch(r"((?:const )?\w+(?: \*)?)\s*\b([\w\s,]+)", declaration).groups()
        found += [(name.strip(), kind) for name in names.split(",")]
    return found


def size_of(kind):
    return POINTER if kind.endswith((")", "*")) else SIZES[kind]


def laid_out(pairs):
    """Return [name, type, offset] of members and the size of the struct, by the rules of C."""
    offset, rows = 0, []
    for name, kind in pairs:
        size = size_of(kind)
        offset = -(-offset // size) * size
        rows.append([name, kind, offset])
        offset += size
    align = max(size_of(kind) for _, kind in pairs)
    return rows, -(-offset // align) * align


def header(text):
    """Return the interface of types.h and table.h, one after the other, as JSON-able data."""
    text = without_comments(text)
    version = re.search(r"#define MATCONV_ABI_VERSION (\d+)\n", text)
    enums = []
    for body in re.findall(r"\benum\s*\{(.*?)\}", text, re.DOTALL):
        entries = filter(None, map(str.strip, body.split(",")))
        pairs = (re.fullmatch(r"(\w+)\s*=\s*(-?\d+)", entry).groups() for entry in entries)
        enums.append({name: int(value) for name, value in pairs})
    structs = {}
    for name, body, again in re.findall(
        r"typedef struct (\w+)\s*\{(.*?)\}\s*(\w+);", text, re.DOTALL
    ):
        assert name == again
        rows, size = laid_out(members(body))
        structs[name] = {"size": size, "members": rows}
    return {"abi_version": int(version.group(1)), "enums": enums, "structs": structs}


def argument_names(text):
    """Return {function: [name of each argument]} of the function table."""
    body = re.search(r"typedef struct matconv_api\s*\{(.*?)\}", text, re.DOTALL)[1]
    return {function[2]: names(function[3]) for _, function in declarations(body) if function}


def interface_text():
    """Return the text of the installed headers that `header` reads."""
    return TYPES.read_text() + FUNCTIONS.read_text()


def current():
    """Return the interface of the installed headers; see `header`."""
    return header(interface_text())


def constants(interface):
    """Return {name: value} of all constants of an interface."""
    return {name: value for enum in interface["enums"] for name, value in enum.items()}


# Cython's spelling of the same types


def in_c(kind, names):
    """Return a Cython type as it is written in the header."""
    names = {"Py_ssize_t": "ptrdiff_t", **names}
    return re.sub(r"\w+", lambda word: names.get(word.group(), word.group()), plain(kind))


def block(text, start):
    """Return the indented lines below the line that begins with `start`."""
    at = re.search(rf"^( *){start}.*:\n", text, re.MULTILINE)
    assert at, start
    inner = re.match(rf"(?:(?:{at.group(1)} +[^\n]*)?\n)*", text[at.end() :])
    return re.sub(r"#.*", "", inner.group())


def cython_constants(text, start):
    """Return {Cython name: C name} of an enum's block."""
    return dict(re.findall(r'(\w+) "(\w+)"', block(block(text, start), "enum")))


def cython_members(body, names):
    """Return (C name, type) of each member of a Cython struct, types as in the header."""
    found = []
    body = re.sub(r"\(\s+", "(", re.sub(r",\s+", ", ", body))
    for line in filter(None, map(str.strip, body.splitlines())):
        function = re.fullmatch(r"(.*?)\(\*(\w+)\)\s*\((.*)\) noexcept", line)
        if function:
            result, name, arguments = function.groups()
            found.append((name, in_c(signature(result, arguments), names)))
            continue
        kind, members = re.fullmatch(r'((?:const )?\w+(?: \*)?) ?([\w, "]+)', line).groups()
        for member in members.split(", "):
            name = re.fullmatch(r'\w+ "(\w+)"|(\w+)', member)
            found.append((name[1] or name[2], in_c(kind, names)))
    return found


def cython_functions(text, names):
    """Return {name: (C name, signature, argument names)} of functions with C names."""
    found = {}
    pattern = r'^    ([\w* ]+?)(\w+) "(matconv_\w+)"\(([^()]*)\) noexcept$'
    for result, name, c_name, arguments in re.findall(pattern, text, re.MULTILINE):
        assert name not in found, name
        in_order = [argument(one)[1] for one in arguments.split(",")]
        found[name] = (c_name, in_c(signature(result, arguments), names), in_order)
    return found
