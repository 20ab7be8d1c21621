"""Public objects are copied, pickled, sent to other processes: the same bits afterwards."""

import copy
import gc
import io
import multiprocessing
import pickle
import weakref

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from support.networks import images, mixed
from support.subjects import Scaled, digest, digest_and_back, make, model

from matconv import Conv, Dense, MaxPool, Network, Objective, load_predictor
from matconv.losses import SoftmaxLoss, SquaredLoss
from matconv.solvers import TrainingError

SUBJECTS = make()
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
each = pytest.mark.parametrize("name", SUBJECTS)


@pytest.mark.catalogue(66)
@each
def test_pickle_any_protocol_keeps_bits(name):
    subject = SUBJECTS[name]
    expected = digest(subject)
    for protocol in PROTOCOLS:
        again = pickle.loads(pickle.dumps(subject, protocol))
        assert type(again) is type(subject)
        assert digest(again) == expected, protocol
    twice = pickle.loads(pickle.dumps(again))
    assert digest(twice) == expected
    assert digest(subject) == expected


@pytest.mark.catalogue(66)
@each
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy_keeps_bits(name, copied):
    subject = SUBJECTS[name]
    again = copied(subject)
    assert type(again) is type(subject)
    assert digest(again) == digest(subject)
    assert digest(copied([subject, subject])[1]) == digest(subject)


@pytest.mark.catalogue(66)
@each
def test_joblib_dump_and_load_keeps_bits(name):
    file = io.BytesIO()
    joblib.dump(SUBJECTS[name], file)
    file.seek(0)
    assert digest(joblib.load(file)) == digest(SUBJECTS[name])


@pytest.mark.catalogue(66)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_process_computes_the_same_bits(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.map(digest_and_back, list(SUBJECTS.values()))
    for (name, subject), (theirs, back) in zip(SUBJECTS.items(), found, strict=True):
        assert theirs == digest(subject) == digest(back), name


@pytest.fixture
def workers():
    """The processes of joblib end with the test."""
    yield
    get_reusable_executor().shutdown()


@pytest.mark.catalogue(66)
@pytest.mark.usefixtures("workers")
def test_joblib_workers_compute_the_same_bits():
    with joblib.parallel_config("loky", n_jobs=2):
        found = joblib.Parallel()(
            joblib.delayed(digest_and_back)(subject) for subject in list(SUBJECTS.values())
        )
    for (name, subject), (theirs, back) in zip(SUBJECTS.items(), found, strict=True):
        assert theirs == digest(subject) == digest(back), name


@pytest.mark.catalogue(66)
@pytest.mark.usefixtures("workers")
def test_joblib_workers_map_large_arrays_read_only():
    # arrays above max_nbytes reach the workers as read-only memory maps
    f, net = SUBJECTS["Objective, float64"], mixed()
    subjects = [f, model(np.float64), net.freeze(net.init(0))]
    found = joblib.Parallel(n_jobs=2, max_nbytes=100)(
        joblib.delayed(digest)(subject) for subject in subjects
    )
    assert found == [digest(subject) for subject in subjects]


# a Split is a tuple, and Python's tuples have no weak references
@pytest.mark.catalogue(66)
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name != "Split"])
def test_weak_reference_ends_with_the_object(name):
    subject = make()[name]
    reference = weakref.ref(subject)
    assert reference() is subject
    del subject
    gc.collect()
    assert reference() is None


# Equality


EQUAL = [name for name in SUBJECTS if name.split(",")[0] not in
         ("Objective", "Model", "Predictor", "Result", "State", "TrainingError", "FormatError",
          "Split")]  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_immutable_copy_is_equal_and_hashes_equal(name):
    subject = SUBJECTS[name]
    again = pickle.loads(pickle.dumps(subject))
    assert again == subject
    assert hash(again) == hash(subject)


def test_model_and_objective_compare_by_identity():
    for name in ("Model, float64", "Objective, float64"):
        subject = SUBJECTS[name]
        assert subject == subject and copy.copy(subject) != subject  # noqa: PLR0124
        assert len({subject, copy.copy(subject)}) == 2


def test_losses_equal_by_class_and_with_parameters_by_identity():
    assert SquaredLoss() == SquaredLoss() and hash(SquaredLoss()) == hash(SquaredLoss())
    assert SquaredLoss() != SoftmaxLoss() and SoftmaxLoss() == SoftmaxLoss()
    assert len({SquaredLoss(), SoftmaxLoss(), SquaredLoss()}) == 2
    one, other = Scaled(1.0), Scaled(2.0)
    assert one != other and one == one and one != SquaredLoss()  # noqa: PLR0124
    assert SquaredLoss() != one and len({one, other}) == 2
    assert repr(SoftmaxLoss()) == "SoftmaxLoss()"


# What a copy shares, and what it does not


@pytest.mark.parametrize("name", ["Network, float64", "Predictor, float64"])
def test_copy_of_an_immutable_object_is_the_object(name):
    subject = SUBJECTS[name]
    assert copy.copy(subject) is subject and copy.deepcopy(subject) is subject


def test_objective_shallow_copy_shares_images_and_deep_copy_does_not():
    net = mixed()
    Z, y = images(net, 10)
    f, theta = Objective(net, Z, y, "softmax"), net.init(0)
    shallow, deep, before = copy.copy(f), copy.deepcopy(f), f(theta)
    part = copy.copy(f.subset([1, 2]))
    assert np.shares_memory(shallow.Z, Z) and np.shares_memory(part.Z, Z)
    assert not np.shares_memory(deep.Z, Z)
    Z[...] += 1
    assert shallow(theta) == f(theta) != before
    assert deep(theta) == before


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objective_subset_pickles_its_own_images_only(protocol):
    net = mixed()
    f = Objective(net, *images(net, 2000), "softmax")
    part = f.subset([7, 1500])
    data = pickle.dumps(part, protocol)
    assert len(data) < f.Z.nbytes / 50
    again = pickle.loads(data)
    assert again.l == 2 and again(net.init(0)) == part(net.init(0))


def test_objective_unpickled_has_its_number_of_threads():
    net = mixed()
    Z, y = images(net, 4)
    for n_threads in (1, 3, None):
        f = Objective(net, Z, y, n_threads=n_threads)
        again = pickle.loads(pickle.dumps(f))
        assert again.engine.n_threads == f.engine.n_threads
        assert again.engine is not f.engine
        assert "engine" not in f.__getstate__()


def test_objective_targets_stay_read_only():
    f = SUBJECTS["Objective, float64"]
    for again in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f, 2))):
        with pytest.raises(ValueError, match="read-only"):
            again.Y[0] = 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_read_only_theta_stays_read_only(protocol):
    for name in ("Model, float64", "State"):
        subject = SUBJECTS[name]
        copies = [pickle.loads(pickle.dumps(subject, protocol)), copy.deepcopy(subject)]
        for again in [subject, copy.copy(subject), *copies]:
            with pytest.raises(ValueError, match="read-only"):
                again.theta[0] = 1
    again = pickle.loads(pickle.dumps(SUBJECTS["Result"], protocol))
    copy.deepcopy(again).theta[0] = 1


def test_model_copies_what_it_is_given():
    net = mixed()
    theta, labels = net.init(0), [np.int64(4), np.int64(5), 6]
    preprocessing, training = {"shift": 0.0, "scale": 2.0}, {"f": 1.0}
    made = type(SUBJECTS["Model, float64"])(net, theta, labels, preprocessing, training)
    expected = digest(made)
    theta[:], labels[0], preprocessing["scale"], training["f"] = 0, 7, 3.0, 2.0
    assert digest(made) == expected
    assert made.labels == (4, 5, 6) and all(type(label) is int for label in made.labels)
    with pytest.raises(
        ValueError, match=f"theta must have {net.n} elements, one for each parameter"
    ):
        type(made)(net, theta[1:])


def test_training_error_keeps_its_result():
    error = SUBJECTS["TrainingError"]
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, TrainingError) and str(again) == str(error)
    assert again.result.theta.tobytes() == error.result.theta.tobytes()
    assert again.result.message == str(error)


def test_network_subclass_keeps_its_attributes():
    again = pickle.loads(pickle.dumps(Named("digits")))
    assert type(again) is Named and again.name == "digits"
    assert again == Named("other") and again != Network((3, 3, 1), [Dense(2)])


class Named(Network):
    """A network with an attribute of its own."""

    def __init__(self, name):
        super().__init__((3, 3, 1), [Dense(2)])
        self.name = name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_predictor_outlives_its_file_and_its_data(tmp_path, dtype):
    net = Network((8, 8, 1), [Conv(4, 3, activation="relu"), MaxPool(2), Dense(3)], dtype)
    assert net.n % 2 == 1  # with float32, theta is padded to whole words
    theta, (Z, _) = net.init(0), images(net, 2)
    path = tmp_path / "net.matconv"
    net.export(theta, path)
    predictor, size = load_predictor(path), path.stat().st_size
    data = bytearray(path.read_bytes())
    path.unlink()
    other = type(predictor)(data)
    data[:] = bytes(len(data))
    expected = net.freeze(theta)(Z)
    for one in (predictor, other):
        assert one.nbytes == size
        again = pickle.loads(pickle.dumps(one))
        assert again(Z).tobytes() == one(Z).tobytes() == expected.tobytes()
    # words: magic and header, one output, the records (10, an input, words of the operation), CRC
    words = 12 + 1 + (11 + 14) + (11 + 8) + (11 + 2) + 1
    assert size == len(predictor.__reduce__()[1][0]) == 8 * words + 8 * -(-theta.nbytes // 8)


def test_predictor_keeps_bytes_without_a_copy():
    predictor = SUBJECTS["Predictor, float64"]
    _, (data,) = predictor.__reduce__()
    assert type(predictor)(data).__reduce__()[1][0] is data
