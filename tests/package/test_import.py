"""``import matconv`` gives every public submodule, in any mode of Python, from any thread."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

import matconv

PACKAGE = Path(matconv.__file__).parent


def public(package):
    """The public submodules in a package's folders, but for those whose function has the name."""
    names = {info.name for info in pkgutil.iter_modules(package.__path__)}
    names -= set(getattr(package, "__all__", ()))
    return sorted(name for name in names if not name.startswith("_"))


PACKAGES = [
    matconv,
    *(
        importlib.import_module(f"matconv.{info.name}")
        for info in pkgutil.iter_modules(matconv.__path__)
        if info.ispkg and not info.name.startswith("_")
    ),
]
SUBMODULES = [(package.__name__, name) for package in PACKAGES for name in public(package)]
LAZY = [matconv, matconv.commands, matconv.kernels]  # load submodules at first use


def python(*arguments, code):
    """What a Python prints that runs the code without writing bytecode; nothing on stderr."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"
    result = subprocess.run(
        [sys.executable, "-B", *arguments, "-c", program],
        capture_output=True, text=True, check=False, timeout=120, env=environment,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


# Submodules ---------------------------------------------------------------------------------------


def test_submodules_are_found_in_the_folder():
    names = {name for package, name in SUBMODULES if package == "matconv"}
    assert {"phi", "notes", "io", "solvers", "kernels", "cli"} <= names
    assert {name for name in names if name.startswith("_")} == set()
    assert {package for package, _ in SUBMODULES} >= {"matconv.commands", "matconv.io"}
    assert len(SUBMODULES) > 75


@pytest.mark.parametrize("package, name", SUBMODULES)
def test_submodule_is_an_attribute_and_listed(package, name):
    owner = sys.modules[package]
    module = getattr(owner, name)
    assert isinstance(module, ModuleType) and module.__name__ == f"{package}.{name}"
    assert name in dir(owner)


def test_submodules_are_attributes_after_import_matconv_alone():
    """In a fresh process each, where no other test has imported them."""
    code = f"""
import matconv
for package, name in {SUBMODULES!r}:
    owner = matconv
    for part in package.split(".")[1:]:
        owner = getattr(owner, part)
    assert name in dir(owner), name
    assert getattr(owner, name).__name__ == package + "." + name
print(matconv.phi.P_phi((4, 4, 1), 2).shape)
"""
    assert python(code=code) == "(36, 16)\n"


@pytest.mark.parametrize("package", LAZY, ids=lambda module: module.__name__)
def test_submodules_are_imported_for_type_checkers(package):
    """What is loaded at first use is imported under ``if TYPE_CHECKING``."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    known = {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is None
        for alias in node.names
    }
    assert set(package._SUBMODULES) == known
    assert list(package._SUBMODULES) == sorted(known)


@pytest.mark.parametrize("package", LAZY, ids=lambda module: module.__name__)
def test_attribute_that_does_not_exist_is_named(package):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'ph'"):
        _ = package.ph
    assert not hasattr(package, "_no_such_module")


def test_stubs_are_not_empty_and_belong_to_a_module():
    stubs = sorted(PACKAGE.rglob("*.pyi"))
    assert len(stubs) > 15
    for path in stubs:
        assert path.read_text(encoding="utf-8").strip(), path.name
        assert any(path.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES), path.name


LIGHT = """
import numpy, scipy.linalg, threadpoolctl
before = set(sys.modules)
import matconv
loaded = set(sys.modules) - before
packages = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
print(*sorted(name for name in packages if not name.startswith("_")))
print(*sorted(name for name in loaded if name.startswith(("numpy", "scipy"))))
print(*sorted(loaded & {"argparse", "tomllib", "gzip", "zipfile", "multiprocessing", "tqdm"}))
"""


def test_import_loads_no_more_than_numpy_and_scipy_linalg():
    assert python(code=LIGHT).splitlines() == ["matconv", "", ""]


# Modes of Python ----------------------------------------------------------------------------------


WORK = """
import io, contextlib
import numpy as np, matconv
from matconv.cli import main
from matconv.data import load_digits
digits = load_digits()
net = matconv.Network((8, 8, 1), [matconv.Conv(4, 3, activation="relu"), matconv.MaxPool(2), matconv.Dense(10)])
f = matconv.Objective(net, digits.Z_train, digits.y_train, C=1000)
theta = net.init(seed=0)
result = matconv.minimize(f, theta, max_iterations=2)
try:
    matconv.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 3, 3, 1)))
except ValueError as error:
    print(error)
said = io.StringIO()
with contextlib.redirect_stdout(said):
    assert main(["info"]) == 0
for command in ([], ["train"], ["evaluate"], ["predict"], ["check"], ["info"]):
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*command, "--help"])
print(result.f < f(theta), said.getvalue().count("usage: matconv"))
"""


@pytest.mark.parametrize(
    "flags",
    ["", "-O", "-OO", "-I", "-E -s", "-P", "-W error", "-X dev", "-bb", "-X utf8=0"],
)
def test_mode_of_python_changes_nothing(flags):
    """Without assertions and docstrings, isolated, warnings as errors, development mode."""
    assert python(*flags.split(), code=WORK).splitlines() == [
        "conv2d: W has 2 channels where Z has 1",
        "True 6",
    ]


def test_import_writes_nothing_without_bytecode():
    """As in an installation that may not be written to."""

    def listing():
        return {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*")}

    before = listing()
    python(code=WORK)
    assert listing() == before


# Threads ------------------------------------------------------------------------------------------


THREADS = """
import threading
sys.setswitchinterval(1e-6)
{before}
names = {names!r}
barrier = threading.Barrier(len(names))
errors = []

def use(name):
    barrier.wait()
    try:
        import matconv
        value = matconv
        for part in name.split("."):
            value = getattr(value, part)
        assert matconv.kernels.__path__.count(matconv.kernels.__path__[0]) == 1
    except BaseException as error:
        errors.append((name, repr(error)))

threads = [threading.Thread(target=use, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(names) - len(errors), errors)
"""
USED = (
    "phi.P_phi", "io.npz", "solvers.sgd", "presets", "losses", "data.load_digits", "minimize",
    "load_model", "P_phi", "notes.vec", "kernels.toom_cook", "kernels.capi", "Predictor",
    "FormatError", "conv2d", "kernels._conv",
)  # fmt: skip


@pytest.mark.parametrize("before", ["", "import matconv"], ids=["import", "first use"])
@pytest.mark.parametrize("order", [1, -1])
def test_threads_may_import_at_once(before, order):
    """Each begins with ``import matconv``, or with a submodule that is not loaded yet."""
    code = THREADS.format(before=before, names=USED[::order])
    assert python(code=code) == f"{len(USED)} []\n"


# A thread that imports a submodule holds the submodule's lock while it waits for that of the
# package, which a thread that imports the package holds while it waits for that of the submodule.
DEADLOCK = """
import importlib, importlib._bootstrap, threading, time
import matconv
errors, package_begun = [], threading.Event()

def hook(event, arguments):
    if event == "import" and arguments[0] == {inner!r} and threading.current_thread() is first:
        package_begun.set()
        while other.is_alive() and other.ident not in importlib._bootstrap._blocking_on:
            time.sleep(0.001)

def load(name, begin):
    begin.wait()
    try:
        importlib.import_module(name)
    except BaseException as error:
        errors.append(f"{{name}}: {{error!r}}")

begun = threading.Event()
begun.set()
other = threading.Thread(target=load, args=({module!r}, package_begun), daemon=True)
first = threading.Thread(target=load, args=({package!r}, begun), daemon=True)
sys.addaudithook(hook)
other.start()
first.start()
first.join()
begun_first = package_begun.is_set()
package_begun.set()
other.join()
print(begun_first, errors)
"""
# first used by others: a package, the first of its modules that it imports
LATER = {
    "matconv.io": "matconv.io.exported",
    "matconv.solvers": "matconv.solvers.minimizer",
    "matconv.data": "matconv.data.digits",
}


@pytest.mark.parametrize("package", LATER)
@pytest.mark.parametrize("module", ["settings", "training"])
def test_module_imported_while_another_thread_imports_a_package_works(module, package):
    code = DEADLOCK.format(
        package=package, inner=LATER[package], module=f"matconv.commands.{module}"
    )
    assert python(code=code) == "True []\n"


def imported_modules(path):
    """Absolute names of the modules that a file of the package imports from."""
    parts = ["matconv", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            yield ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.name))
def test_packages_loaded_at_first_use_are_imported_as_a_whole(path):
    """``from ..io import npz``, not ``from ..io.npz import``: the latter may deadlock."""
    own = ".".join(["matconv", *path.relative_to(PACKAGE).parts[:-1]])
    for name in imported_modules(path):
        for package in LATER:
            inside = f"{own}.".startswith(f"{package}.")
            assert inside or not name.startswith(f"{package}."), (str(path), name)
