"""Clients of other versions: the older one works, the others give the reason in one sentence."""

import re
from importlib import import_module


def refusal(name):
    try:
        import_module(name)
    except ImportError as error:
        return str(error)
    raise AssertionError(f"{name} was imported")


today, older = import_module("today"), import_module("older")
(version, size), library = today.versions()
assert (version, size) == library
old_version, old_size = older.versions()[0]
assert older.versions()[1] == library and old_version == version
assert size - old_size == 40 * 8, "the older table ends before the functions of networks"
for client in (today, older):
    assert (client.dense(3.0, 7.0), client.dense(3.0, -7.0)) == (21.0, 0.0)
print(f"versions: ABI {version}, {size} bytes; a client that knows {old_size} of them works")

message = refusal("newer")
expected = (
    r"compiled for a newer matconv \(a function table of (\d+) bytes\) than the installed one "
    r"\((\d+) bytes\): upgrade matconv"
)
found = re.fullmatch(expected, message)
assert found and tuple(map(int, found.groups())) == (size + 8, size), message
print("refused:", message)
message = refusal("incompatible")
expected = f"compiled for version 999 of matconv's ABI, the installed matconv has {version}"
assert message == expected, message
print("refused:", message)
