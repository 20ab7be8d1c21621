"""What is made of records: verdicts, tables, a picture."""

import json
import sys

import machine
import measuring
import plot
import pytest
import run
import shapes
import table
import targets
import timing

SLOW, FAST = "openblas 0.3 (Haswell) of scipy", "openblas 0.3 (SkylakeX) of scipy"


def record(name, ratio, **changes):
    """A measurement with this ratio: a layer, auto against PyTorch, float64, forward, 1 thread."""
    values = ("layer", name, 8, "float64", 1, "auto", "torch", "forward")
    job = {**dict(zip(measuring.KEYS, values, strict=True)), "quick": False}
    numbers = {
        "sizes": "8, 1",
        "unit": "s",
        "form": "nchw",
        **timing.compared([0.5], [0.5 * ratio]),
    }
    return {**job, **numbers, **changes}


def document(records, blas=SLOW):
    about = {"date": "2026-11-22T10:00:00+00:00", "processor": "Abacus", "cores": 2, "load": 0.0}
    versions = {"matconv": "0.1", "torch": "2.13"}
    about |= {"system": "Linux", "blas": [blas], "switches": {}, "versions": versions}
    return {"machine": about, "command": "python bench/run.py", "records": records}


def verdicts(records, row, threads=(1,), blas=SLOW):
    return targets.verdicts(document(records, blas), [row], threads)


# ---- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "blas", "met"),
    [
        ((0.95, 0.95), SLOW, True),
        ((0.94, 0.95), SLOW, False),  # the geometric mean is below 0.95
        ((0.95, 0.95), FAST, False),  # and must be 1 with kernels for AVX-512
        ((0.8, 1.25), FAST, True),
        ((0.79, 2.0), SLOW, False),  # one is below 0.8
        ((), SLOW, None),
    ],
)
def test_verdict_geometric_mean_and_each(found, blas, met):
    names = ("vgg-64", "resnet-stem")
    about = {"algorithm": "im2col", "peer": "gemm"}
    records = [record(name, ratio, **about) for name, ratio in zip(names, found)]
    (line,) = verdicts(records, "S1", blas=blas)
    assert line["met"] is met
    assert line["target"] == f"gm >= {1 if blas == FAST else 0.95}, each >= 0.8"


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"dtype": "float32"},
        {"pass": "both"},
        {"algorithm": "im2col"},
        {"peer": "torch-f32"},
        {"what": "net"},
    ],
    ids=str,
)
def test_verdict_counts_only_what_is_selected(changes):
    records = [record("vgg-64", 5.0), record("mine", 0.1), record("vgg-128", 0.1, **changes)]
    forward, _ = verdicts(records, "S3")
    assert (forward["values"], forward["met"]) == ({"vgg-64": 5.0}, True)


def test_verdict_unit_stride_3x3_and_5x5():
    records = [record(name, 2.5, peer="gemm") for name in shapes.LAYERS]
    (line,) = verdicts(records, "S2")
    others = ("alexnet-1", "resnet-stem", "resnet-3x3-s2")
    assert set(line["values"]) == {x for x in shapes.LAYERS if x not in others and "1x1" not in x}


def test_verdict_training_steps_text():
    about = {"what": "net", "pass": "step", "peer": "torch-f32"}
    records = [record(name, 1.25, **about) for name in targets.TRAINED]
    assert verdicts(records, "S4")[0]["met"] is True
    records[-1] = record("alexnet", 0.99, **about)
    (line,) = verdicts(records, "S4")
    assert line["met"] is False
    assert line["measured"] == "gm 1.19, min 0.990 (alexnet), 5 of them"


def test_verdict_threads_against_one_has_no_line_for_one():
    one = record("vgg-64", 1.9, what="net", peer="1-thread", threads=2)
    lines = verdicts([one], "S7", (1, 2))
    assert [(x["threads"], x["met"]) for x in lines] == [(2, True), (2, None), (2, None)]


@pytest.mark.parametrize(("ratio", "met"), [(2.0, True), (1.99, False)])
def test_verdict_memory_is_a_share(ratio, met):
    about = {"what": "memory", "pass": "gradient", "images": 1024}
    bounded, reported = verdicts([record("vgg11", ratio, **about)], "S6")
    assert (bounded["values"], bounded["met"]) == ({"vgg11": 1 / ratio}, met)
    assert (reported["values"], reported["met"]) == ({}, None)
    about["images"] = 256
    bounded, reported = verdicts([record("vgg11", ratio, **about)], "S6")
    assert (bounded["values"], reported["values"]) == ({}, {"vgg11": 1 / ratio})
    assert reported["met"] is None  # no bound


@pytest.mark.parametrize(
    ("power", "met"), [(1.0, True), (1.029, True), (1.031, False), (0.9, False)]
)
def test_verdict_exponent_and_growth(power, met):
    about = {"what": "scaling", "pass": "gradient", "peer": None}
    records = [
        record("lenet", 1, **about, images=n, bytes=100, mine=timing.spread([2e-5 * n**power]))
        for n in (100, 1_000, 10_000, 100_000)
    ]
    time, memory = verdicts(records, "S8")
    assert time["values"] == {"lenet": pytest.approx(power, abs=1e-12)}
    assert (time["met"], memory["met"]) == (met, True)
    records[-1]["bytes"] = 111
    assert verdicts(records, "S8")[1]["met"] is False


def test_exponent_is_the_slope_of_least_squares():
    # log2 seconds 0, 0, 3 at log2 images 0, 1, 2: the line through them has slope 3/2
    points = ((1, 1), (2, 1), (4, 8))
    found = [("", {"name": "a", "images": n, "mine": {"median": s}}) for n, s in points]
    assert targets.exponent(found) == {"a": pytest.approx(1.5, rel=1e-12)}


def test_ratios_take_the_fastest_peer():
    found = [("a", record("a", 3.0)), ("a", record("a", 2.0, peer="jax")), ("b", record("b", 1.0))]
    assert targets.ratios(found) == {"a": 2.0, "b": 1.0}


def test_verdict_frozen_by_images_and_quick_ones():
    about = {"what": "net", "pass": "predict", "dtype": "float32", "peer": "onnxruntime"}
    records = [record("lenet", r, **about, images=n) for n, r in ((1, 1.5), (8, 0.79), (9, 0.1))]
    (line,) = verdicts(records, "S9")
    assert line["values"] == {"lenet, 1 images": 1.5, "lenet, 8 images": 0.79}
    assert line["met"] is False
    # a quick run takes 8 images for 64
    (line,) = verdicts([record("lenet", 2.0, **about, images=8, quick=True)], "S9")
    assert line["values"] == {"lenet, 8 images": 2.0}


def test_verdict_startup_and_latency():
    nothing = dict.fromkeys(("images", "dtype", "threads", "algorithm", "peer", "pass"))
    startup = [
        record(name, 1, **{**nothing, "what": "startup"}, mine=timing.spread([value]))
        for name, value in (("import", 0.031), ("wheel", 2e6))
    ]
    lines = verdicts(startup, "S10", (1, 2))
    assert [(one["threads"], one["met"]) for one in lines] == [
        (None, False), (None, True), (None, None),
    ]  # fmt: skip
    text = targets.report(lines)
    assert text[-1] == "1 met, 1 not met, 1 not judged"
    assert any("import, ms beyond" in line and line.endswith("NOT met") for line in text)
    late = record("lenet", 1, what="latency", images=1, peer="kernels", beside=2e-5)
    assert [one["met"] for one in verdicts([late], "S12")] == [True, None]


def test_every_goal_has_jobs_and_finds_its_records():
    assert targets.ROWS == (
        *("S1", "S2", "S3", "S4", "S5", "S5b", "S6", "S7", "S8", "S9", "S9b", "S10", "S12"),
    )
    for target in targets.TARGETS:
        jobs = target.jobs((1, 2))
        assert jobs
        extra = {"beside": 1.0, "bytes": 1, "quick": False, **timing.compared([1.0], [1.0])}
        for threads in target.threads((1, 2)):
            assert target.values([{**job, **extra} for job in jobs], threads)


# ---- tables and pictures ------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    """A results file of two layers and a network."""
    step = {"what": "net", "peer": "torch-f32", "pass": "step"}
    both = {"pass": "both"}
    records = [
        *(record("vgg-64", 2.0, **both), record("vgg-128", 4.5, **both)),
        *(record("vgg-64", 1.5, threads=2, **both), record("lenet", 0.5, **step)),
    ]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(document(records)), encoding="utf-8")
    return path


def test_show_markdown_has_machine_command_goals_and_ratios(results, capsys):
    assert run.main(["show", str(results), "--markdown"]) == 0
    out = capsys.readouterr().out
    for part in ("Abacus", SLOW, "torch 2.13", "command   python bench/run.py\n"):
        assert part in out
    assert "|  | sizes | matconv, 1 thread | PyTorch, 1 thread | matconv, 2 threads |" in out
    assert "| vgg-64 | 8, 1 | 500 ms | 2.00 (2.00-2.00) | 500 ms | 1.50 (1.50-1.50) |" in out
    assert "| vgg-128 | 8, 1 | 500 ms | 4.50 (4.50-4.50) |  |  |" in out
    assert "| geometric mean |  |  | 3.00 |  | 1.50 |" in out
    assert "| S4 | f64 against PyTorch f32, training step | 1 |" in out
    assert "S10" not in out  # nothing measured


def test_line_of_a_record():
    assert table.line(record("vgg-64", 2.0)) == (
        "vgg-64 (8, 1) forward float64 1 thread auto: 500 ms; PyTorch nchw 1.00 s, "
        "ratio 2.00 (2.00-2.00)"
    )


@pytest.mark.parametrize("content", ["not JSON {", "[1]", '{"records": []}', None])
def test_results_file_that_is_none(content, tmp_path, capsys):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert run.main(["show", str(path)]) == 1
    reasons = {None: "No such file or directory", "not JSON {": "not JSON"}
    reason = reasons.get(content, "not a results file of bench/run.py")
    assert capsys.readouterr().err == f"bench/run.py: {path}: {reason}\n"


def test_machine_lines_tell_blas_and_switches(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = machine.describe()
    heads = [line.split()[0] for line in machine.lines(found)]
    assert heads == ["machine", "BLAS", "versions", "switches", "date"]
    assert "OPENBLAS_CORETYPE Haswell" in machine.lines(found)[3]
    assert found["blas"][0].endswith("of scipy") or "scipy" not in " ".join(found["blas"])


def test_panel_values_of_one_number_of_threads():
    records = [
        record("a", 2.0), record("b", 3.0, threads=2), record("c", 4.0, algorithm="im2col"),
        record("d", 5.0, peer="gemm"), record("e", 6.0, **{"pass": "both"}),
        record("a", 7.0, dtype="float32"),
    ]  # fmt: skip
    assert plot.panel_values(records, "layer", "forward", 1) == {
        ("float64", "torch"): {"a": (2.0, 2.0, 2.0)},
        ("float32", "torch"): {"a": (7.0, 7.0, 7.0)},
    }


def test_plot_without_records_and_without_matplotlib(results, tmp_path, capsys, monkeypatch):
    picture = str(tmp_path / "speed.svg")
    assert run.main(["plot", str(results), picture, "--threads", "3"]) == 1
    assert "nothing to draw: no records of layers, both or nets, step, with 3 threads" in (
        capsys.readouterr().err
    )
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run.main(["plot", str(results), picture]) == 1
    assert "matplotlib is not installed" in capsys.readouterr().err
