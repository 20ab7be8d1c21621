"""The examples of matconv/README.md, and their application to a copy of the tree."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
README = TOP / "matconv" / "README.md"
BLOCK = re.compile(r"^<!-- (.+?) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGE = re.compile(r"in (\S+) after: (.*)|at the end of (\S+)")
SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)


def blocks(section=None):
    """Return [(text of the HTML comment above a block, the code)] of a section, in order."""
    text = README.read_text(encoding="utf-8")
    return BLOCK.findall(text if section is None else dict(SECTION.findall(text))[section])


def block(mark):
    """Return the one block of code under a comment with this text."""
    (found,) = [code for said, code in blocks() if said == mark]
    return found


def follow(folder, section):
    """Make every new file and every change of a section in a copy of the tree.

    Returns
    -------
    lines : dict
        Number of added lines by path, of the files that existed before too.
    new : list of str
        Paths of the new files.
    """
    lines, new = {}, []
    for said, code in blocks(section):
        if said.startswith("new file: "):
            name = said.removeprefix("new file: ")
            path = folder / name
            assert not path.exists(), f"{name} exists"
            path.write_text(code, encoding="utf-8")
            new.append(name)
        elif change := CHANGE.fullmatch(said):
            name, line, extended = change.groups()
            name = name or extended
            text = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
            if extended:
                text += ["\n\n", code]
            else:
                places = [k for k, one in enumerate(text) if one == f"{line}\n"]
                assert len(places) == 1, f"{name} has {len(places)} lines {line!r}"
                text.insert(places[0] + 1, code)
            (folder / name).write_text("".join(text), encoding="utf-8")
        else:
            continue
        lines[name] = lines.get(name, 0) + code.count("\n")
    return lines, new
