"""The script that compares solvers runs each of them; no result decides."""

import json
import xml.etree.ElementTree

import curves
import pytest
import solvers

from matconv.solvers import METHODS


def test_solvers_script_runs_every_method(capsys, tmp_path):
    path = tmp_path / "found.json"
    names = ["lbfgs", "trust-ncg", "trust-constr", "Newton-CG:H", "newton:0.01", "sgd:0.01"]
    options = ["--seconds", "0", "--seeds", "2", "--json", str(path)]
    assert solvers.main(["digits", *names, *options]) == 0
    *_, head, titles = (out := capsys.readouterr().out.splitlines())[:-8]
    lines = out[-8:]
    assert head == "digits: 1438 training images, 359 test images, n = 1898, C = 1000"
    drawn = [[name, str(seed), "1"] for name in names[-2:] for seed in (0, 1)]
    assert [line.split()[:3] for line in lines] == [[name, "-", "1"] for name in names[:4]] + drawn
    assert {len(line) for line in lines} == {len(lines[0])} and titles.startswith("run ")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [one["name"] for one in document["runs"][-2:]] == ["sgd:0.01"] * 2
    assert document["title"] == head and document["command"].endswith("--json found.json")
    assert document["runs"][-1]["rows"] != document["runs"][-2]["rows"]


def test_solvers_script_counts_passes():
    f, test, theta0 = solvers.objectives("digits", 0, 0, 100.0)
    (row,) = solvers.run("lbfgs", f, test, theta0, 0.0)
    assert row[1] == 2  # gradients at theta0 and after the first step
    (row,) = solvers.run("newton:0.1", f, test, theta0, 0.0)
    products = round((row[1] - 2) / 0.1, 9)
    assert products == int(products) >= 1
    assert row[2] < f(theta0) and 0 <= row[3] <= 1


def test_solvers_script_has_methods_that_exist(capsys):
    assert {method for method, _ in solvers.RUNS.values()} < METHODS.keys()
    for method, options in solvers.RUNS.values():
        METHODS[method].check(options)
    assert curves.SERIES.keys() <= {*solvers.USUAL} < solvers.RUNS.keys()
    assert solvers.main(["list"]) == 0
    assert capsys.readouterr().out.split() == [*solvers.RUNS]


@pytest.fixture
def found(tmp_path):
    """A file of two seeds of newton, and of a run of lbfgs."""
    seeds = (
        [[1.0, 2.0, 1.0, 0.5], [2.0, 4.0, 0.5, 0.81], [4.0, 8.0, 0.25, 0.85]],
        [[1.0, 2.0, 2.0, 0.6], [2.0, 4.0, 1.0, 0.7], [3.0, 6.0, 0.75, 0.83]],
    )
    runs = [{"name": "newton:0.05", "seed": k, "rows": rows} for k, rows in enumerate(seeds)]
    runs += [{"name": "lbfgs", "seed": None, "rows": seeds[0]}]
    runs += [{"name": "sgd:1", "seed": 0, "rows": []}]
    path = tmp_path / "found.json"
    document = {"title": "set: 1 < 2", "command": "python x", "seconds": 4.0, "runs": runs}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_solvers_show_has_medians_and_ranges(found, capsys):
    assert solvers.main(["show", str(found)]) == 0
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
    ]
    head = ["80 %: s", "80 %: passes", "84 %: s", "84 %: passes", "f after 4 s"]
    assert rows[:6] == [[solvers.PICTURE], [""], ["`python x`"], [""], ["set: 1 < 2"], [""]]
    assert rows[6] == ["run", *head, "test accuracy, %"]
    newton = ["2.5 (2.0-3.0)", "5 (4-6)", "-", "-", "0.500 (0.250-0.750)", "84.0 (83.0-85.0)"]
    assert rows[8:] == [
        ["newton:0.05", *newton],
        ["lbfgs", "2.0", "4", "4.0", "8", "0.250", "85.0"],
        ["sgd:1", *["-"] * 6],
    ]


def test_solvers_show_readme_replaces_its_block(found, tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    monkeypatch.setattr(solvers.suite, "README", readme)
    begin, end = solvers.MARKERS
    readme.write_text(f"# A\n{begin}old\n{end}# B\n", encoding="utf-8")
    assert solvers.main(["show", str(found)]) == 0
    printed = capsys.readouterr().out
    assert solvers.main(["show", str(found), "--readme"]) == 0
    assert readme.read_text(encoding="utf-8") == f"# A\n{begin}\n{printed}\n{end}# B\n"
    text = solvers.suite.Path(solvers.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert text.count(begin) == text.count(end) == 1


def test_solvers_files_without_runs_are_refused(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text("{}", encoding="utf-8")
    assert solvers.main(["show", str(path)]) == 1
    assert capsys.readouterr().err.startswith("bench/solvers.py: ")


def test_solvers_plot_has_four_panels_of_curves(found, tmp_path, capsys):
    picture = tmp_path / "a.svg"
    assert solvers.main(["plot", str(found), str(picture)]) == 0
    space, tree = "{http://www.w3.org/2000/svg}", xml.etree.ElementTree.parse(picture)
    texts = [text.text for text in tree.iter(f"{space}text")]
    assert {"set: 1 < 2", "newton, 5 %", "lbfgs", "seconds"} <= {*texts} and "sgd, 1" not in texts
    lines = [line.get("stroke") for line in tree.iter(f"{space}polyline")]
    areas = [area.get("fill") for area in tree.iter(f"{space}polygon")]
    newton, lbfgs = (curves.SERIES[name][1] for name in ("newton:0.05", "lbfgs"))
    assert (lines, areas) == ([newton, lbfgs] * 4, [newton] * 4)
    found.write_text('{"title": "", "runs": []}', encoding="utf-8")
    assert solvers.main(["plot", str(found), str(picture)]) == 1
    assert "nothing to draw: no runs of newton:0.01, " in capsys.readouterr().err


def test_curve_is_the_median_at_places_that_all_seeds_reach():
    rows = [[[1.0, 0, 8.0], [4.0, 0, 2.0]], [[2.0, 0, 1.0], [3.0, 0, 0.0], [6.0, 0, float("nan")]]]
    assert curves.extent(rows, 0) == (2.0, 3.0)
    middle, low, high = curves.curve(rows, 0, 2, [2.0, 3.0])
    assert (middle.tolist(), low.tolist(), high.tolist()) == ([3.5, 2.0], [1.0, 0.0], [6.0, 4.0])


def test_axis_ticks_and_places():
    assert curves.ticks(0.5, 20) == [0.5, 1, 2, 5, 10, 20]
    axis = curves.Axis(1, 100, 10, 30)
    assert axis([1, 10, 100]) == pytest.approx([10, 20, 30])
    assert curves.Axis(60, 80, 20, 0, 10).ticks.tolist() == [60, 70, 80]
