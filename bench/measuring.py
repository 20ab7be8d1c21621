"""Measurements for the table of targets, and its verdicts."""

from pathlib import Path

import frozen
import layers
import memory
import scaling
import shapes
import startup
import targets
import wholenets

#: 9 samples a side, fewer for calls of some tenths of a second: half an hour in all.
FULL = {"repeats": 9, "seconds": 0.02, "budget": 3.0}

#: Networks and images whose gradient's memory is measured; PyTorch takes all images at once.
MEMORY = (("lenet", 10_000), ("vgg11", 256))


def add_command(parser):
    """Add the options of ``run.py targets``."""
    parser.add_argument("--rows", nargs="+", default=list(targets.ROWS), choices=targets.ROWS)
    parser.add_argument("--layers", nargs="+", help="judge these only (all; quick: some)")
    parser.add_argument("--wheel", type=Path, metavar="PATH", help="the wheel whose size counts")
    parser.add_argument("--build-wheel", action="store_true", help="build one with pip wheel")


def run(given, say):
    """Return the document of all measurements and verdicts, and the lines of a report."""
    how = layers.QUICK if given.quick else dict(FULL)
    how = {**how, "repeats": given.repeats or how["repeats"]}
    wanted = [target for target in targets.TARGETS if target.row in given.rows]
    names = given.layers or (["quick"] if given.quick else ["all"])
    chosen = shapes.select(names)
    if given.quick:
        chosen = [layer.with_batch(max(1, layer.batch // 8)) for layer in chosen]
    peers = {target.select.get("peer", "") for target in wanted}
    missing = layers.absent(peers | ({"onnxruntime"} if "S9" in given.rows else set()))
    if "S10" in given.rows and given.wheel is None and not given.build_wheel:
        missing["wheel"] = "neither --wheel nor --build-wheel was given"
    records = []
    plan = [target for target in wanted if target.select.get("peer") not in missing]
    for layer in chosen:
        records += _layer(layer, [x for x in plan if layer.name in x.names], given, how, say)
    for name in targets.CIFAR_AND_OTHERS:
        part = [target for target in plan if name in target.names]
        records += _net(name, part, given, how, say)
    document = {"records": records, "means": layers.means(records), "skipped": missing}
    document |= _others(given, how, say)
    document["targets"] = targets.verdicts(document, given.rows, given.threads)
    lines = [*layers.report(records), *targets.report(document["targets"])]
    if given.quick:
        lines.append("quick: too few samples, layers and images to judge by")
    return document, lines


def _passes(part):
    """Return {(dtype, algorithm, peer): passes} of targets."""
    found = {}
    for target in part:
        key = tuple(target.select[name] for name in ("dtype", "algorithm", "peer"))
        found.setdefault(key, []).append(target.select["pass"])
    return found


def _layer(layer, part, given, how, say):
    """Return the records of a layer for targets."""
    records = []
    against = {key: passes for key, passes in _passes(part).items() if key[2] != "1 thread"}
    if against:
        bench = layers.Bench(layer, how, say)
        for threads in given.threads:
            for (dtype, algorithm, peer), passes in against.items():
                records += bench.records(dtype, threads, algorithm, peer, passes)
    if len(against) < len(_passes(part)):
        records += _speedup(wholenets.LayerBench(layer, how, say), part, given)
    return records


def _net(name, part, given, how, say):
    """Return the records of a network for targets."""
    if not part:
        return []
    bench, records = wholenets.Bench(name, how, 8 if given.quick else None, say), []
    for (dtype, algorithm, peer), passes in _passes(part).items():
        if peer != "1 thread":
            for threads in given.threads:
                records += bench.records(dtype, threads, algorithm, peer, passes)
        else:
            records += _speedup(bench, part, given)
    return records


def _speedup(bench, part, given):
    """Return the records of several threads against one thread."""
    found = []
    for (dtype, _, peer), passes in _passes(part).items():
        if peer == "1 thread":
            for threads in given.threads:
                found += bench.speedup(dtype, threads, passes) if threads > 1 else []
    return found


def _others(given, how, say):
    """Return measurements that are not ratios of times: memory, growth, start-up."""
    found = {}
    if "S6" in given.rows:
        found["gradient"] = []
        for threads in given.threads:
            for net, images in MEMORY:
                images = 16 if given.quick else images
                one = memory.measure(net, "float64", threads, images, ("matconv", "torch"))
                about = {"net": net, "images": images, "dtype": "float64", "threads": threads}
                found["gradient"].append({**about, "sides": one})
                say(f"memory of a gradient: {net}, {layers.count(threads)}")
    if "S8" in given.rows:
        images = scaling.QUICK if given.quick else scaling.IMAGES
        found["scaling"] = [
            one for threads in given.threads for one in scaling.measure(threads, images, say)
        ]
    if "S9" in given.rows and not layers.absent(["onnxruntime"]):
        found["frozen"] = frozen.measure(how, say=say)
    if "S10" in given.rows:
        found["startup"] = {"import_seconds": startup.import_seconds(3 if given.quick else 15)}
        if given.wheel is not None or given.build_wheel:
            found["startup"]["wheel_bytes"] = startup.wheel_bytes(given.wheel)
    return found
