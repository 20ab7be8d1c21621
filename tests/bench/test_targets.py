"""What is made of records: verdicts, tables, a picture."""

import json
import math
import xml.etree.ElementTree

import measuring
import plot
import pytest
import run
import table
import targets
import timing

SLOW, FAST = "avx2", "avx512"
FROZEN = {"what": "frozen", "pass": "predict", "dtype": "float32"}


def record(name, ratio, **changes):
    """A measurement with this ratio: a layer, auto against PyTorch, float64, forward, 1 thread."""
    values = ("layers", name, 8, "float64", 1, "auto", "torch", "forward")
    job = dict(zip(measuring.KEYS, values, strict=True))
    about = {"sizes": "8, 1", "unit": "s", "form": "nchw", "quick": False, "isa": SLOW}
    return {**job, **about, **timing.compared([0.5], [0.5 * ratio]), **changes}


def document(records):
    about = {"date": "2026-11-22T10:00:00+00:00", "processor": "Abacus", "cores": 2, "load": 0.0}
    versions = {"matconv": "0.1", "torch": "2.13"}
    about |= {"system": "Linux", "blas": ["openblas (Haswell)"], "switches": {}, "isa": SLOW}
    about |= {"versions": versions}
    return {"machine": about, "command": "python bench/run.py", "records": records}


def verdicts(records, row, threads=(1,)):
    return targets.verdicts(document(records), [row], threads)


@pytest.mark.parametrize(
    ("found", "isa", "met"),
    [
        ((0.95, 0.95), SLOW, True),
        ((0.94, 0.95), SLOW, False),  # the geometric mean is below 0.95
        ((0.95, 0.95), FAST, False),  # and must be 1 with kernels for AVX-512
        ((0.95, 0.95), "avx2, peers emulated", True),
        ((0.8, 1.25), FAST, True),
        ((0.79, 2.0), SLOW, False),  # one is below 0.8
    ],
)
def test_verdict_geometric_mean_and_minimum(found, isa, met):
    names = ("vgg-64", "resnet-stem")
    about = {"algorithm": "im2col", "peer": "gemm", "isa": isa}
    records = [record(name, ratio, **about) for name, ratio in zip(names, found)]
    (line,) = verdicts(records, "S1")
    assert line.met is met
    assert line.isa == isa
    if found[1] == 1.25:
        assert line.measure == "layers, forward, float64, im2col against BLAS"
        assert line.measured == "gm 1, min 0.8 (vgg-64), 2 of them"
    assert line.target == f"gm >= {1 if isa == FAST else 0.95}, min >= 0.8"


OTHERS = {"threads": 2, "dtype": "float32", "pass": "both", "peer": "torch-f32"}
OTHERS |= {"what": "nets", "algorithm": "im2col"}


@pytest.mark.parametrize("key", OTHERS)
def test_verdict_counts_only_what_is_selected(key):
    other = record("vgg-128", 0.1, **{key: OTHERS[key]})
    records = [record("vgg-64", 5.0), record("mine", 0.1), other]
    forward, _ = verdicts(records, "S3")
    assert (forward.values, forward.met) == ({"vgg-64": 5.0}, True)


def test_verdict_threads_against_one_has_no_line_for_one():
    one = record("vgg-64", 1.9, what="nets", peer="1-thread", threads=2)
    lines = verdicts([one], "S7", (1, 2))
    assert [(x.threads, x.met) for x in lines] == [(2, True)] + [(2, None)] * 5


@pytest.mark.parametrize(("ratio", "met"), [(1.87, True), (1.85, False)])
def test_verdict_threads_against_processes_is_a_share_of_what_they_reach(ratio, met):
    about = {"what": "nets", "pass": "step", "peer": "processes", "threads": 2}
    *_, line = verdicts([record("lenet", ratio, **about)], "S7", (2,))
    assert (line.values, line.met) == ({"lenet": ratio / 2}, met)


def test_verdict_memory_is_a_share():
    about = {"what": "memory", "pass": "gradient", "images": 1024}
    bounded, reported = verdicts([record("vgg11", 1.99, **about)], "S6")
    assert (bounded.values, bounded.met) == ({"vgg11": 1 / 1.99}, False)
    assert (reported.values, reported.met) == ({}, None)  # that of 256 images


@pytest.mark.parametrize(("power", "met"), [(1.029, True), (1.031, False), (0.9, False)])
def test_verdict_exponent_and_growth(power, met):
    about = {"what": "scaling", "pass": "gradient", "peer": None}
    records = [
        record("lenet", 1, **about, images=n, bytes=100, mine=timing.spread([2e-5 * n**power]))
        for n in (100, 1_000, 10_000, 100_000)
    ]
    time, memory = verdicts(records, "S8")
    assert time.values == {"lenet": pytest.approx(power, abs=1e-12)}
    assert (time.met, memory.met) == (met, True)
    records[-1]["bytes"] = 111
    memory = verdicts(records, "S8")[1]
    assert (memory.met, memory.values) == (False, {"lenet": 1.11})


def test_verdict_frozen_by_images_and_quick_ones():
    about = {**FROZEN, "peer": "onnxruntime"}
    records = [record("lenet", r, **about, images=n) for n, r in ((1, 1.5), (8, 0.79), (9, 0.1))]
    records += [record("lenet", 2.0, **about, images=5, quick=True)]  # quick: fewer images
    (line,) = verdicts(records, "S9")
    counted = {"lenet, 1 images": 1.5, "lenet, 8 images": 0.79, "lenet, 5 images": 2.0}
    assert (line.values, line.met) == (counted, False)
    assert line.measure == "frozen, predict, float32 against ONNX Runtime f32"


def test_verdict_of_several_peers_is_that_of_the_fastest():
    ratios = {"onnxruntime": (2.0, 0.7), "openvino": (1.5, 3.0), "torch": (0.1, 0.1)}
    records = [
        record(name, ratio, **FROZEN, images=1, peer=peer)
        for peer, both in ratios.items()
        for name, ratio in zip(("lenet", "resnet18"), both, strict=True)
    ]
    (line,) = verdicts(records, "S9")
    assert line.values == {"lenet, 1 images": 1.5, "resnet18, 1 images": 0.7}
    assert line.met is False
    text = "frozen, predict, float32 against the faster of ONNX Runtime f32 and OpenVINO f32"
    assert line.measure == text == verdicts([], "S9")[0].measure


def test_targets_leave_out_large_batches_of_large_networks():
    found = {(job["name"], job["images"]) for job in targets.jobs(["S9"], (1,))}
    assert found == {
        (name, images)
        for name in targets.FROZEN
        for images in (1, 8, 64)
        if images < 64 or name not in ("vgg16", "dncnn17-180")
    }
    quick = {(job["name"], job["images"]) for job in targets.jobs(["S9"], (1,), quick=True)}
    assert quick == {(name, images) for name in targets.FROZEN for images in (1, 8)}


@pytest.mark.parametrize(("name", "met"), [("resnet18-64", True), ("alexnet", False)])
def test_verdict_minimum_is_not_for_exempt_names(name, met):
    about = {"what": "nets", "peer": "torch-f32", "pass": "step"}
    records = [record("lenet", 2.0, **about), record(name, 0.9, **about)]
    (line,) = verdicts(records, "S4")
    assert (line.target, line.met) == ("gm >= 1.15, min >= 1 but resnet18-64", met)
    assert line.measured == f"gm 1.34, min 0.9 ({name}), 2 of them"
    assert verdicts(records[1:], "S4")[0].met is False  # the geometric mean is below 1.15


def test_verdict_startup_and_latency():
    nothing = dict.fromkeys(("images", "dtype", "threads", "algorithm", "peer", "pass"))
    records = [
        record(name, 1, **{**nothing, "what": "startup"}, mine=timing.spread([value]))
        for name, value in (("import", 0.031), ("wheel", 2e6))
    ]
    lines = verdicts(records, "S10", (1, 2))
    assert [(one.threads, one.met) for one in lines] == [(None, False), (None, True), (None, None)]
    assert [one.measured for one in lines] == ["31 (import)", "2 (wheel)", "not measured"]
    text = table.verdicts(lines)
    assert text[-1] == "1 met, 1 not met, 1 not judged"
    assert any("import beyond numpy" in line and line.endswith("| NOT met |") for line in text)
    late = record("lenet", 1, what="latency", images=1, peer="kernels", beside=2e-5)
    assert [one.met for one in verdicts([late], "S12")] == [True, None]


def product(which, ratio, peer, name="lenet", **changes):
    """A record of a product of the usual number of images."""
    images = 128 if name == "lenet" else 256
    about = {"what": "products", "pass": which, "peer": peer, "images": images, "cost": 0.5}
    return record(name, ratio, **{**about, **changes})


@pytest.mark.parametrize(("cost", "met"), [(0.48, True), (0.46, False)])
def test_verdict_products_in_gradients_over_theory(cost, met):
    records = [product("jvp kept", 2.0, "gradient", cost=cost)]
    records += [product("vjp kept", 2.0, "gradient"), product("vjp scratch", 0.1, "gradient")]
    line = verdicts(records, "S11")[0]
    text = "products, jvp kept and vjp kept, float64 against matconv's gradient: over theory"
    assert (line.measure, line.target, line.met) == (text, "max <= 1.08", met)
    name = "lenet, 128 images, jvp kept"
    assert line.values == {name: 0.5 / cost, "lenet, 128 images, vjp kept": 1.0}


@pytest.mark.parametrize(("fast", "met"), [(1.36, True), (1.34, False)])
def test_verdict_products_counts_the_fastest_peer_and_sizes_of_the_network(fast, met):
    records = [product("jvp kept", fast, "jax"), product("jvp kept", 9.0, "torch")]
    records += [product("vjp kept", 3.0, peer) for peer in ("torch", "jax", "curvlinops")]
    records += [product("jvp kept", 0.1, "torch", images=256)]  # LeNet has 128 images
    line = verdicts(records, "S11")[1]
    assert (list(line.values.values()), line.met) == ([fast, 3.0], met)
    assert line.measure.endswith(" against the fastest of PyTorch and JAX and curvlinops")
    assert line.target == "gm >= 2, min >= 1.35"


def test_targets_of_products_have_images_of_each_network():
    found = {(job["name"], job["images"]) for job in targets.jobs(["S11"], (1, 2))}
    assert found == {("lenet", 128), ("simplenn-4", 256)}


def test_table_of_products_has_a_row_for_each_and_costs_in_gradients():
    records = [product("jvp kept", 2.0, "gradient"), product("jvp kept", 3.0, "torch")]
    records += [product("hessian kept", 4.0, "torch", name="simplenn-4")]
    rows = cells("\n".join(table.tables(records)))
    gradient = "matconv's gradient, 1 thread"
    assert rows[0] == ["", "sizes", "matconv, 1 thread", gradient, "PyTorch, 1 thread"]
    cost = "0.50 (0.50-0.50), in theory 0.50"
    assert rows[2] == ["lenet, jvp kept", "8, 1", "500 ms", cost, "3.00 (3.00-3.00)"]
    assert rows[3][0] == "simplenn-4, hessian kept" and rows[3][4] == "4.00 (4.00-4.00)"
    assert rows[4] == ["geometric mean", "", "", "", "3.46"]
    line = table.line(records[0])
    assert line.endswith("matconv's gradient nchw 1000 ms, cost 0.50 (0.50-0.50), in theory 0.50")


def test_every_target_has_jobs_and_finds_its_records():
    assert " ".join(targets.ROWS) == "S1 S2 S3 S4 S5 S5b S6 S7 S8 S9 S9b S10 S11 S12"
    extra = {"beside": 1.0, "cost": 1.0, "bytes": 1, "quick": False, "isa": SLOW}
    extra |= timing.compared([1.0], [1.0])
    for row in targets.ROWS:
        jobs = targets.jobs([row], (1, 2))
        assert jobs
        assert all(x.values for x in verdicts([{**job, **extra} for job in jobs], row, (1, 2)))


@pytest.fixture
def results(tmp_path):
    """A results file of two layers and a network."""
    step, both = {"what": "nets", "peer": "torch-f32", "pass": "step"}, {"pass": "both"}
    records = [
        *(record("vgg-64", 2.0, **both), record("vgg-128", 4.5, **both), record("vgg-64", 3.25)),
        *(record("vgg-64", 1.5, threads=2, **both), record("lenet", 0.5, **step)),
    ]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(document(records)), encoding="utf-8")
    return path


def cells(text):
    """The rows of all tables of a text, without the padding."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_show_has_machine_command_targets_and_ratios(results, capsys):
    assert run.main(["show", str(results)]) == 0
    out = capsys.readouterr().out
    for part in ("Abacus", "openblas (Haswell)", "torch 2.13", "command   python bench/run.py\n"):
        assert part in out
    rows = cells(out)
    columns = [f"{x}, {n}" for n in ("1 thread", "2 threads") for x in ("matconv", "PyTorch")]
    assert ["", "sizes", *columns] in rows
    assert ["vgg-64", "8, 1", "500 ms", "2.00 (2.00-2.00)", "500 ms", "1.50 (1.50-1.50)"] in rows
    assert ["vgg-128", "8, 1", "500 ms", "4.50 (4.50-4.50)", "", ""] in rows
    assert ["geometric mean", "", "", "3.00", "", "1.50"] in rows
    line = [
        "S4",
        "nets, step, float64 against PyTorch f32",
        SLOW,
        "1",
        "gm >= 1.15, min >= 1 but resnet18-64",
    ]
    assert [*line, "0.5 (lenet)", "NOT met"] in rows
    assert "layers, forward, float64, auto, avx2" in out and "S10" not in out


def test_show_does_not_repeat_what_two_files_share(results, tmp_path, capsys):
    other, document = tmp_path / "other.json", json.loads(results.read_text())
    document["command"] = "python bench/run.py targets S4"
    other.write_text(json.dumps(document))
    assert run.main(["show", str(results), str(other)]) == 0
    head = capsys.readouterr().out.partition("\n```\n")[0].splitlines()
    assert head[-2:] == [
        "command   python bench/run.py",
        "command   python bench/run.py targets S4",
    ]
    assert len(head) == len(set(head)) > 5


def test_tables_of_two_isas_have_a_column_for_each():
    head = table.tables([record("vgg-64", 2.0, isa=isa) for isa in (SLOW, FAST)])[3]
    assert "PyTorch, 1 thread, avx2 " in head and "PyTorch, 1 thread, avx512 " in head


def test_show_readme_replaces_the_block_and_nothing_else(results, tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    monkeypatch.setattr(run, "README", readme)
    readme.write_text("# A\n<!-- measured -->\nold\n<!-- end -->\n# B\n", encoding="utf-8")
    assert run.main(["show", str(results), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "layers, forward + backward, float64, auto, avx2" in printed and "| S3 " in printed
    assert "layers, forward, float64, auto, avx2" not in printed  # a pass that is not published
    assert run.main(["show", str(results), "--readme"]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text == f"# A\n<!-- measured -->\n\n{printed}\n<!-- end -->\n# B\n"
    readme.write_text("<!-- measured -->\n", encoding="utf-8")
    assert run.main(["show", str(results), "--readme"]) == 1
    assert "README.md has no lines <!-- measured --> ... <!-- end -->" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["not JSON {", "[1]", '{"records": []}'])
def test_file_without_results_is_refused(content, tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    assert run.main(["show", str(path)]) == 1
    assert f"{path}: not a results file of bench/run.py: " in capsys.readouterr().err


def test_plot_has_a_bar_for_each_ratio_on_a_logarithmic_axis(results, tmp_path, capsys):
    path = str(tmp_path / "a.svg")
    assert run.main(["plot", str(results), path]) == 0
    content = (tmp_path / "a.svg").read_bytes()
    space = "{http://www.w3.org/2000/svg}"
    tree = xml.etree.ElementTree.fromstring(content)
    texts = {text.text: text for text in tree.iter(f"{space}text")}
    assert {"vgg-64", "vgg-128", "lenet", "2.00", "4.50", "0.50", "Training step"} <= set(texts)
    assert "1.50" not in texts  # two threads
    one, two = (float(texts[f"{n}x"].get("x")) for n in (1, 2))
    bars = {}
    for bar in tree.iter(f"{space}rect"):
        if bar.get("width") != "12":  # not of the legend
            start, width = float(bar.get("x")), float(bar.get("width"))
            bars.setdefault(bar.get("fill"), []).append((start - one, width / (two - one)))
    blue, orange, _ = (colour for *_, colour in plot.SERIES)
    # from 1x to the ratio: the width is its logarithm; 4 digits of each number
    expected = {blue: [(0, 1.0), (0, math.log2(4.5))], orange: [(one - two, 1.0)]}
    assert expected == {
        colour: [(pytest.approx(a, abs=0.1), pytest.approx(b, abs=0.01)) for a, b in found]
        for colour, found in bars.items()
    }
    assert run.main(["plot", str(results), path, "--threads", "3"]) == 1
    message = "nothing to draw: no records of nets, step or layers, both, with 3 threads"
    assert message in capsys.readouterr().err
