"""Assertions that show what they compared."""
import contextlib


class Failure(AssertionError):
    """A check that did not hold."""


def check(condition, what):
    """Fails with `what` unless the condition is true."""
    if not condition:
        raise Failure(what)


def equal(actual, expected, what="value"):
    """Fails unless the two are equal."""
    if actual != expected:
        raise Failure(f"{what}: got {actual!r}, expected {expected!r}")


def contains(whole, part, what="value"):
    """Fails unless part is in whole; of two dicts, unless every member of part is in whole with the same value."""
    if isinstance(part, dict):
        missing = {k: v for k, v in part.items() if k not in whole or whole[k] != v}
        if missing:
            raise Failure(f"{what}: {whole!r} lacks {missing!r}")
    elif part not in whole:
        raise Failure(f"{what}: {part!r} is not in {whole!r}")


@contextlib.contextmanager
def raises(kind, what="the block"):
    """Fails unless the block raises an exception of this kind; yields a list that then holds it."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        return
    raise Failure(f"{what} raised no {kind}")
