"""Projects that use the installed matconv from Cython, C and C++, each built as its users would.

Not collected by a plain ``pytest``; needs a wheel, a C and a C++ compiler and a package index:

    MATCONV_WHEEL=dist/matconv-....whl pytest -s tests/downstream

One fresh virtual environment gets the wheel. Each project is copied to a separate folder,
without the files here, installed with pip, and its ``check.py`` runs in an empty folder.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from downstream.running import environment_with, run

HERE = Path(__file__).parent
NEEDED = ("setuptools", "wheel", "cython>=3.1", "scikit-image", "scikit-learn", "matplotlib")
# of a check's output: everything it must say, with numbers that are not 0
PROJECTS = {
    "c": ("operators", "pooling and dense", "network", "pool", "fitting", "fits refused or stopped",
          "GIL", "refused", "networks refused", "files refused", "raised", "stack",
          "threads", "fork"),
    "cxx": ("operators", "pooling and dense", "network", "thrown"),
    "cython": ("convolutions", "network", "derivatives", "raised"),
    "versions": ("versions", "refused"),
    "detector": ("trained", "held out", "GIL", "refused", "found", "false alarms"),
}  # fmt: skip
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
COMPILERS = {"c99": "cc", "c11": "cc", "c++11": "c++", "c++17": "c++"}


@pytest.fixture(scope="session")
def python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    return environment_with(folder, wheel, *NEEDED)


@pytest.mark.catalogue(61)
@pytest.mark.parametrize("project", PROJECTS)
def test_project(project, python, tmp_path):
    source, empty = tmp_path / "source", tmp_path / "empty"
    shutil.copytree(HERE / project, source)
    shutil.copy(HERE / "truth.py", tmp_path)
    empty.mkdir()
    pip = (python, "-m", "pip", "install", "--disable-pip-version-check")
    run(*pip, "--no-build-isolation", "--no-deps", "--force-reinstall", source, cwd=empty)
    check = shutil.move(source / "check.py", tmp_path / "check.py")
    shutil.rmtree(source)
    said = run(python, "-X", "faulthandler", "-W", "error", check, cwd=empty)
    print(f"\n{project}\n{said}")
    for topic in PROJECTS[project]:
        line = re.search(rf"^{topic}: .*", said, re.MULTILINE)
        assert line and re.search(r"\d", line[0]), f"{project} says nothing of {topic!r}"
    kept = os.environ.get("MATCONV_PICTURES")
    if kept:
        for picture in empty.glob("*.png"):
            shutil.copy(picture, kept)


def example(name):
    """The block after "<!-- example: NAME -->" in include/README.md."""
    text = (HERE.parents[1] / "include" / "README.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)[1]


EXAMPLES = """
import numpy as np, matconv
import answer, convolve

random = np.random.default_rng(0)
Z, W, b = random.random((3, 9, 9, 4)), random.random((4, 3, 3, 5)), random.random(5) - 20
np.testing.assert_array_equal(convolve.convolve(Z, W, b), matconv.conv2d(Z, W, b, relu=True))
net = matconv.Network((8, 8, 1), [matconv.Conv(4, 3), matconv.Dense(10)])
theta, images = net.init(seed=0), random.random((20, 8, 8, 1))
net.export(theta, "small.matconv")
found = [answer.largest("small.matconv", image) for image in images]
assert found == net.predict(theta, images).tolist()
for path, image, message in (
    ("missing", images[0], "the file cannot be read"),
    ("small.matconv", images[0, 1:], "a size is less than 1"),
    (convolve.__file__, images[0], "not an exported network, or a damaged one"),
):
    try:
        answer.largest(path, image)
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
print(f"include/README.md: {Z.size} numbers convolved, {len(found)} images classified")
"""


def test_readme_examples_run(python, include_folders, tmp_path):
    source, empty = tmp_path / "source", tmp_path / "empty"
    source.mkdir()
    empty.mkdir()
    (source / "convolve.pyx").write_text(example("cython"))
    (source / "setup.py").write_text(example("cython setup"))
    (source / "answer.c").write_text(example("c"))
    pip = (python, "-m", "pip", "install", "--disable-pip-version-check")
    run(*pip, "--no-build-isolation", "--no-deps", source, cwd=empty)
    run("cc", "-std=c99", *WARNINGS, "-shared", "-fPIC", "-I", include_folders[0], "-isystem",
        include_folders[1], source / "answer.c", "-o", empty / "answer.so", cwd=empty)  # fmt: skip
    said = run(python, "-W", "error", "-c", EXAMPLES, cwd=empty)
    assert "20 images classified" in said
    print(f"\n{said}")


@pytest.fixture(scope="session")
def include_folders(python, tmp_path_factory):
    """(matconv's, Python's) folder of headers."""
    program = (
        "import matconv, sysconfig; "
        "print(matconv.get_include(), sysconfig.get_paths()['include'], sep='\\n')"
    )
    matconv_folder, python_folder = run(
        python, "-c", program, cwd=tmp_path_factory.mktemp("empty")
    ).splitlines()
    assert HERE.parents[1] not in Path(matconv_folder).parents, "not that of the wheel"
    return matconv_folder, python_folder


@pytest.mark.catalogue(62)
@pytest.mark.parametrize("standard", COMPILERS)
def test_headers_compile_without_a_warning(standard, include_folders, tmp_path):
    compiler = shutil.which(COMPILERS[standard])
    assert compiler, f"no {COMPILERS[standard]}"
    matconv_folder, python_folder = include_folders
    language = "c++" if "++" in standard else "c"
    count = 0
    for definitions in (
        (), ("USED",), ("WITH_PYTHON",), ("WITH_PYTHON", "USED"),
        ("MATCONV_TABLE=own_table",), ("MATCONV_TABLE=own_table", "USED", "WITH_PYTHON"),
        ("MATCONV_TABLE=own_table", "MATCONV_EXTERN_TABLE"),
        ("MATCONV_TABLE=own_table", "MATCONV_EXTERN_TABLE", "USED"),
    ):  # fmt: skip
        # to an object: a warning about what is not used comes after the syntax
        run(compiler, "-x", language, f"-std={standard}", *WARNINGS, "-I", matconv_folder,
            "-isystem", python_folder, *(f"-D{name}" for name in definitions),
            "-c", HERE / "headers.c", "-o", tmp_path / "headers.o", cwd=tmp_path)  # fmt: skip
        count += 1
    print(f"\nheaders: {count} ways to include them as {standard}")


def test_headers_compiler_warning_is_detected(include_folders, tmp_path):
    """The flags above refuse a careless file: the test of the headers can fail."""
    careless = tmp_path / "careless.c"
    careless.write_text("#include <matconv/matconv.h>\nstatic int unused = sizeof(int[1]) > -1;\n")
    with pytest.raises(AssertionError, match="Werror"):
        run("cc", *WARNINGS, "-I", include_folders[0], "-c", careless, cwd=tmp_path)
