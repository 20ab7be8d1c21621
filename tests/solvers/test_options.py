"""Options: one record each, from which Python, command line and help are derived."""

import ast
import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.cli_runs import SMALL, complaint
from support.minimizing import small

import matconv
from matconv import load_model, minimize, save_model
from matconv.cli import COMMANDS, main, make_parser
from matconv.commands import settings
from matconv.layers import LAYERS
from matconv.options import Choice, Count, Factors, Flag, Number, Option, Text
from matconv.presets import make_network
from matconv.solvers import METHODS, Method
from matconv.solvers.method import merged_options, usual_method
from matconv.solvers.schedules import DESCRIPTIONS, SCHEDULES

PACKAGE = Path(matconv.__file__).parent
OPTIONS = [
    pytest.param(method, option, id=f"{method.name}-{option.name}")
    for method in METHODS.values()
    for option in method.options
]

# kinds of values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "value", "error"),
    [
        (Count(2), 1, "x must be at least 2, got 1"),
        (Count(), 1.0, "x must be an integer, got 1.0 (float)"),
        (Count(), True, "x must be an integer, got True (bool)"),
        (Number(minimum=0, below=1), 1, "x must be at least 0 and below 1, got 1"),
        (Number(above=0), 0, "x must be above 0 and finite, got 0"),
        (Number(above=0), math.inf, "x must be above 0 and finite, got inf"),
        (Number(above=0, infinite=True), -math.inf, "x must be above 0, got -inf"),
        (Number(), math.nan, "x must be finite, got nan"),
        (Number(), "3", "x must be a number, got '3' (str)"),
        (Choice(["a", "b"]), "c", "x must be one of a, b, got 'c'"),
        (Choice(["a", "b"]), ["a"], "x must be one of a, b, got ['a']"),
        (Flag(), 1, "x must be True or False, got 1"),
        (Text(), 3, "x must be a str, got 3 (int)"),
        (Factors(), -1, "x must be at least 0 and finite, got -1"),
        (Factors(), {"b": math.inf}, "x['b'] must be at least 0 and finite, got inf"),
        (Factors(), {1: 1}, "x: keys must be str, got 1 (int)"),
        (Factors(), "b", "x must be a number, a dict or an array, got 'b' (str)"),
        (Factors(), None, "x must be a number, got None (NoneType)"),
        (Factors(), [1.0, math.nan], "x must be at least 0 and finite, got nan at index 1"),
        (Factors(), [[1.0]], "x must be a vector, got shape (1, 1)"),
        (Factors(), ["a"], "x must be an array of real numbers, got <U1"),
        (Factors(), np.ma.ones(3), "x is a masked array; fill it or drop the mask first"),
    ],
)
def test_values_check_refuses_with_name_and_range(values, value, error):
    with pytest.raises((TypeError, ValueError)) as caught:
        values.check("x", value)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("values", "text", "value"),
    [
        (Count(0), "0", 0),
        (Number(), "-1e3", -1000.0),
        (Number(above=0, infinite=True), "inf", math.inf),
        (Choice({"a": 1, "b": 2}), "b", "b"),
        (Text(), "", ""),
        (Factors(), "0.5", 0.5),
        (Factors(), "biases=0,conv1.weights=2", {"biases": 0.0, "conv1.weights": 2.0}),
    ],
)
def test_values_parse_and_a_model_file_gives_them_back(values, text, value):
    parsed = values.parse(text)
    assert parsed == value and type(parsed) is type(value)
    assert values.read(values.written(parsed)) == value


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        (Count(0), "-1", "a whole number of at least 0"),
        (Count(), "1.5", "a whole number of at least 1"),
        (Number(minimum=0, below=1), "1", "a number at least 0 and below 1"),
        (Number(above=0), "inf", "a number above 0 and finite"),
        (Number(above=0, infinite=True), "nan", "a number above 0"),
        (Choice(["a", "b", "c"]), "d", "a, b or c"),
        (Factors(), "biases=", "a number at least 0, or a list such as biases=0,conv1=2"),
        (Factors(), "biases=0,-1", "a number at least 0, or a list such as biases=0,conv1=2"),
        (Factors(), "b=-1", "a number at least 0, or a list such as biases=0,conv1=2"),
    ],
)
def test_values_parse_refuses_with_what_is_expected(values, text, expected):
    with pytest.raises(ValueError) as caught:
        values.parse(text)
    assert str(caught.value) == f"expected {expected}, got {text!r}"


@pytest.mark.parametrize("value", [None, [], {}, "x", True, -5, 0.5, "inf"])
def test_values_read_accepts_only_their_kind_of_a_model_file(value):
    accepted = []
    for values in (
        Count(),
        Number(minimum=0),
        Number(infinite=True),
        Choice(["x"]),
        Flag(),
        Text(),
    ):
        try:
            accepted.append((type(values).__name__, values.read(value)))
        except (TypeError, ValueError, OverflowError):
            continue
    assert accepted == {
        "x": [("Choice", "x"), ("Text", "x")],
        True: [("Flag", True)],
        -5: [("Number", -5.0)],
        0.5: [("Number", 0.5), ("Number", 0.5)],
        "inf": [("Number", math.inf), ("Text", "inf")],
    }.get(value if isinstance(value, (str, int, float)) else None, [])


# solvers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_method_function_takes_its_options(method):
    parameters = inspect.signature(method.function).parameters.values()
    names = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    assert names == method.names
    assert all(one.default is one.empty for one in parameters)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_minimize_default_is_that_of_the_record(method):
    """Each option in turn: given as the record has it, the result has the same bits."""
    f, theta0 = small()
    seed = {"seed": 3} if "seed" in method.names else {}
    plain = minimize(f, theta0, method.name, 2, **seed)
    for option in method.options:
        given = minimize(f, theta0, method.name, 2, **{option.name: option.default, **seed})
        assert plain.theta.tobytes() == given.theta.tobytes(), option.name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lbfgs", {"memory": 1}),
        ("lbfgs", {"gtol": 10.0}),
        ("lbfgs", {"ftol": 10.0}),
        ("sgd", {"batch_size": 5}),
        ("sgd", {"learning_rate": 0.5}),
        ("sgd", {"momentum": 0.0}),
        ("sgd", {"nesterov": True}),
        ("sgd", {"schedule": "step"}),
        ("sgd", {"rates": {"biases": 2}}),
        ("sgd", {"seed": 4}),
        ("newton", {"subsample": 0.5}),
        ("newton", {"damping": 1.0}),
        ("newton", {"drop": 0.1}),
        ("newton", {"boost": 9.0}),
        ("newton", {"cg_tolerance": 0.01}),
        ("newton", {"cg_iterations": 1}),
        ("newton", {"eta": 0.9}),
        ("newton", {"reorthogonalize": False}),
        ("newton", {"gtol": 10.0}),
        ("newton", {"seed": 4}),
        ("trust-ncg", {"initial_trust_radius": 0.01}),
        ("trust-ncg", {"max_trust_radius": 1.25}),
        ("trust-ncg", {"gtol": 10.0}),
        ("trust-ncg", {"curvature": "hessian"}),
        ("trust-krylov", {"initial_trust_radius": 0.01}),
        ("trust-krylov", {"max_trust_radius": 1.25}),
        ("Newton-CG", {"xtol": 10.0}),
        ("Newton-CG", {"gtol": 10.0}),
        ("trust-constr", {"initial_trust_radius": 0.01}),
        ("trust-constr", {"xtol": 10.0}),
        ("L-BFGS-B", {"memory": 1}),
    ],
)
def test_minimize_option_reaches_the_method(name, options):
    f, theta0 = small()
    seeds = {"sgd": {"seed": 3, "batch_size": 8}, "newton": {"seed": 3, "damping": 0.3}}
    seed = seeds.get(name, {})
    plain = minimize(f, theta0, name, 6, **seed)
    other = minimize(f, theta0, name, 6, **{**seed, **options})
    assert plain.theta.tobytes() != other.theta.tobytes()
    assert {*options} <= {*METHODS[name].names}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_minimize_unknown_option_lists_the_known_ones(method):
    f, theta0 = small()
    with pytest.raises(TypeError) as caught:
        minimize(f, theta0, method.name, patience=3)
    assert str(caught.value) == (
        f"minimize: unexpected keyword argument 'patience'; the options of {method.name} are: "
        f"{', '.join(method.names)}"
    )


@pytest.mark.parametrize("method, option", OPTIONS)
def test_bad_value_is_refused_in_python_and_on_the_command_line(
    method, option, capsys, monkeypatch
):
    f, theta0 = small()
    bad = {Count: -1, Number: -1.0, Factors: -1.0, Choice: "none of them", Flag: "yes"}[
        type(option.values)
    ]
    with pytest.raises((TypeError, ValueError), match=f"^{option.name} must be "):
        minimize(f, theta0, method.name, **{option.name: bad})
    if not isinstance(option.values, Flag):
        line = complaint(capsys, "train", option.flag, str(bad), status=2)
        assert line.startswith(f"argument {option.flag}: ") and f"'{bad}'" in line


def test_schedules_are_all_described():
    assert list(DESCRIPTIONS) == list(SCHEDULES)


def record(name, *options):
    return Method(name, minimize, "", 1, options=options)


def test_options_of_one_name_must_be_the_same_record():
    size = Option("size", Count(), "size", 3)
    assert merged_options([record("a", size), record("b", replace(size))]) == {
        "size": (size, ["a", "b"])
    }
    message = "the option size of b is not that of a: give it another name, or make both the same"
    for other in (replace(size, default=4), replace(size, values=Count(0)), replace(size, help="")):
        with pytest.raises(ValueError) as caught:
            merged_options([record("a", size), record("b", other)])
        assert str(caught.value) == message


def test_usual_method_is_the_first_for_as_many_images():
    methods = [replace(record("a"), max_images=10), replace(record("b"), max_images=20)]
    assert [usual_method(methods, l).name for l in (10, 11, 20, 21)] == ["a", "b", "b", "b"]


# the command line ---------------------------------------------------------------------------------


def recorded(path):
    return load_model(path).training["settings"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_model_file_records_every_option_of_its_solver_and_no_other(data_folder, method, capsys):
    assert main([*SMALL, "--solver", method.name, "--output", "m.npz"]) == 0
    every = {name for one in METHODS.values() for name in one.names}
    usual = {option.name: option.usual for option in method.options if option.name != "seed"}
    expected = {name: value for name, value in usual.items() if value is not None}
    found = {name: value for name, value in recorded("m.npz").items() if name in every - {"seed"}}
    assert found == expected


def test_flag_is_kept_by_resume_and_can_be_switched_off(data_folder, capsys):
    sgd = (*SMALL, "--solver", "sgd", "--output")
    assert main([*sgd, "plain.npz"]) == 0
    assert main([*sgd, "m.npz", "--nesterov"]) == 0
    assert recorded("plain.npz")["nesterov"] is False and recorded("m.npz")["nesterov"] is True
    assert load_model("plain.npz").theta.tobytes() != load_model("m.npz").theta.tobytes()
    more = ("train", "--resume", "m.npz", "--iterations", "1", "--output")
    assert main([*more, "n.npz"]) == 0
    assert main([*more, "o.npz", "--no-nesterov"]) == 0
    assert recorded("n.npz")["nesterov"] is True and recorded("o.npz")["nesterov"] is False


def test_options_of_lbfgs_reach_it(data_folder, capsys):
    assert main([*SMALL, "--memory", "2", "--gtol", "0.5", "--output", "m.npz"]) == 0
    assert "every entry of the gradient is within gtol = 0.5" in capsys.readouterr().out
    assert (recorded("m.npz")["memory"], recorded("m.npz")["gtol"]) == (2, 0.5)


def test_resume_with_another_solver_drops_the_options_of_the_first(data_folder, capsys):
    assert main([*SMALL, "--memory", "2", "--output", "m.npz"]) == 0
    assert main(["train", "--resume", "m.npz", "--solver", "sgd", "--output", "n.npz"]) == 0
    assert "memory" not in recorded("n.npz") and recorded("n.npz")["batch_size"] == 64


def test_options_of_two_solvers_do_not_go_together(data_folder, capsys):
    line = complaint(capsys, *SMALL, "--memory", "2", "--momentum", "0", status=2)
    assert line.startswith("--momentum goes with --solver sgd (see:")
    line = complaint(capsys, *SMALL, "--memory", "2", "--solver", "sgd", status=2)
    assert line.startswith("--memory goes with --solver lbfgs or L-BFGS-B (see:")


def test_help_has_every_setting_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for option in settings.all_settings():
        if option.name != "split_seed":
            assert f"  {option.flag}" in said
        if option.name not in ("seed", "split_seed"):
            assert option.full_help in said, option.name


def test_help_example_of_a_network_is_the_preset(data_folder, capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    example, kinds = text.split("the network digits as a TOML file:\n")[1].split("kinds of layers")
    (data_folder / "example.toml").write_text(example)
    net = make_network("example.toml", (8, 8, 1), 10)
    assert net == make_network("digits", (8, 8, 1), 10)
    described = [
        line.split()[0] for line in kinds.split("A table")[0].splitlines()[2:] if line[:3].strip()
    ]
    assert described == [*LAYERS]


def test_unknown_loss_of_a_model_file_matters_to_evaluate_only(data_folder, capsys):
    assert main([*SMALL, "--output", "m.npz"]) == 0
    model = load_model("m.npz")
    record = {**model.training, "settings": {**recorded("m.npz"), "loss": "cubic"}}
    save_model("n.npz", model.network, model.theta, model.labels, model.preprocessing, record)
    line = complaint(capsys, "evaluate", "n.npz", status=1)
    assert line.endswith("structured_hinge")
    assert "settings: loss is 'cubic', expected absolute, hinge, huber, huber:DELTA, " in line
    assert main(["predict", "n.npz", "--data", "small.npz"]) == 0
    _, first, *_ = capsys.readouterr().out.splitlines()
    with np.load("small.npz") as file:
        z = model.network.forward(model.theta, model.prepare(file["Z"][:1]))
    assert first.split(",")[2] == f"{z.max():.6g}"


def test_commands_are_all_known():
    names = ["train", "evaluate", "predict", "convert", "info", "check", "simplenn-train"]
    assert list(COMMANDS) == names
    arguments = make_parser().parse_args(["check"])
    assert (arguments.network, arguments.loss, arguments.images) == ("digits", "softmax", 16)


def test_arguments_come_from_records_only():
    """`add_argument` is called where an `Option` becomes an argument, and for --version."""
    calls = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "add_argument":
                name = str(path.relative_to(PACKAGE))
                calls[name] = calls.get(name, 0) + 1
    assert calls == {"commands/options.py": 2, "cli.py": 1}


def test_help_is_one_phrase_for_every_option():
    every = [*settings.all_settings()]
    for module in COMMANDS.values():
        every += [one for one in vars(module).values() if isinstance(one, Option)]
    for option in every:
        assert option.help and option.help[-1] not in ".:;", option.name
        assert np.isscalar(option.usual) or option.usual is None, option.name
