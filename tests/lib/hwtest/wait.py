"""Waiting for conditions, never for luck."""
import os
import threading
import time

# Sanitizer builds are slower; their ctests set this to stretch every deadline.
_SCALE = float(os.environ.get("HOOKWIRE_TIME_SCALE", "1"))


def scaled(seconds):
    """A deadline in seconds, stretched for slow builds."""
    return seconds * _SCALE


def stretched():
    """Whether this is a slow build: one with sanitizers."""
    return _SCALE > 1


def lua_can_be_ended():
    """Not under ThreadSanitizer: it defers the signals that end a call until the call makes a system call of its own."""
    return os.environ.get("HOOKWIRE_SANITIZE") != "thread"


def wait_until(condition, timeout=10.0, what=None, interval=0.01):
    """Calls condition() until it returns something true, and returns that. Raises AssertionError after timeout seconds.

    An exception of the condition counts as "not yet"; the last one is named when time is up.
    """
    deadline = time.monotonic() + scaled(timeout)
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, LookupError, OSError, ValueError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"still waiting for {what or condition} after {timeout} s, last: {last!r}"
            )
        time.sleep(interval)


def in_background(function, *arguments, timeout=30.0):
    """Calls function(*arguments) in a thread of its own. What is returned is called for its result, and raises what it raised."""
    outcome = {}

    def run():
        try:
            outcome["value"] = function(*arguments)
        except BaseException as error:  # whoever asks for the result gets it
            outcome["error"] = error
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(scaled(timeout))
        if thread.is_alive():
            raise AssertionError(f"{function.__name__} has not ended after {timeout} s")
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]
    return result
