"""Reads Prometheus' text format, 0.0.4, and finds what is not so."""
import re

from .check import check

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\}'
SAMPLE = re.compile(rf"({NAME})({LABELS})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|-Inf|NaN)( [0-9]+)?", re.I)


def read_exposition(text):
    """Checks it; returns {family: type}, [sample names with labels]."""
    check(text.endswith("\n"), "the last line has no end")
    types, helps, samples, values, current = {}, set(), [], {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            found = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)", line)
            check(found, f"not a TYPE line: {line!r}")
            check(found[1] not in types, f"a second TYPE of {found[1]}")
            types[found[1]], current = found[2], found[1]
        elif line.startswith("# HELP "):
            name = line.split(" ")[2]
            check(name not in helps, f"a second HELP of {name}")
            helps.add(name)
        elif line and not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            check(found, f"not a sample: {line!r}")
            base = re.sub(r"_(bucket|sum|count)$", "", found[1]) if types.get(current) in ("histogram", "summary") else found[1]
            check(base == current, f"{line!r} stands under the family {current}")
            samples.append(found[1] + (found[2] or ""))
            values[samples[-1]] = float(found[3])
    check(len(samples) == len(set(samples)), "a sample comes twice")
    check(set(types) == helps, f"families without HELP, or HELP without one: {set(types) ^ helps}")
    check(all(name.endswith("_total") for name, kind in types.items() if kind == "counter"), "a counter's name ends in _total")
    for name in (name for name, kind in types.items() if kind == "histogram"):
        check(name.endswith(("_seconds", "_bytes")), f"{name} has no unit")
        _check_histogram(name, values)
    return types, samples


def _check_histogram(name, values):
    """Buckets grow, with their edges, to +Inf, which is the count; each series has a sum and a count."""
    series = {}
    for sample, value in values.items():
        found = re.fullmatch(rf'{name}_bucket\{{(.*?),?le="([^"]*)"\}}', sample)
        if found:
            series.setdefault(found[1], []).append((float(found[2]), value))
    check(series, f"{name} has no buckets")
    for labels, buckets in series.items():
        where = "{" + labels + "}" if labels else ""
        check(buckets == sorted(buckets) and [n for _, n in buckets] == sorted(n for _, n in buckets), f"buckets of {name}{where}: {buckets}")
        check(buckets[-1][0] == float("inf"), f"{name}{where} has no bucket +Inf")
        check(values.get(f"{name}_count{where}") == buckets[-1][1], f"the count of {name}{where}")
        check(values.get(f"{name}_sum{where}", -1) >= 0, f"the sum of {name}{where}")
