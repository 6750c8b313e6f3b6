"""Loads the cases of Autobahn|Testsuite, which are Python 2 modules, into this Python 3.

A byte string of Python 2 becomes a str of the characters U+0000 to U+00FF; the runner converts at the edge to the socket. Nothing of the
suite is edited on disk: its modules are parsed, a few nodes are given their old meaning, and they run with an import and a `type` of ours.
"""
import ast
import builtins
import importlib.util
import pathlib
import re
import types

from autobahn.websocket.utf8validator import Utf8Validator

# names that the client library has changed since: requestNoContextTakeover became request_no_context_takeover
_RENAMED = {n: re.sub("[A-Z]", lambda c: "_" + c[0].lower(), n)
            for n in (a + b for a in ("request", "accept") for b in ("NoContextTakeover", "MaxWindowBits"))}


def to_bytes(text):
    """What goes to the socket for a string of the suite; anything else is left as it is."""
    return text.encode("latin-1") if isinstance(text, str) else text


class _OldMeaning(ast.NodeTransformer):
    """Python 2's division of integers, and the client library's old names."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            node.op = ast.FloorDiv()
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        node.attr = _RENAMED.get(node.attr, node.attr)
        return node

    def visit_keyword(self, node):
        self.generic_visit(node)
        node.arg = _RENAMED.get(node.arg, node.arg)
        return node


class _Validator(Utf8Validator):
    def validate(self, text):
        return super().validate(to_bytes(text))


def _old_type(*args):
    """type(name, (object, Case), members): with an old-style Case, `object` could stand first."""
    if len(args) != 3:
        return type(*args)
    name, bases, members = args
    return type(name, tuple(b for b in bases if b is not object), members)


class Suite:
    """`cases`: the classes in the suite's order. `Case`: their base, which holds the verdicts' names."""

    def __init__(self):
        found = importlib.util.find_spec("autobahntestsuite")
        if found is None:
            raise SystemExit("autobahntestsuite is not installed: scripts/dev/setup does it")
        self._root = pathlib.Path(found.submodule_search_locations[0])
        self._modules = {
            "binascii": self._shim(b2a_hex=lambda s: to_bytes(s).hex(), hexlify=lambda s: to_bytes(s).hex()),
            "pkg_resources": self._shim(resource_filename=lambda _, name: str(self._root / name)),
            "autobahn.websocket.utf8validator": self._shim(Utf8Validator=_Validator),
            "zope.interface": self._shim(implements=lambda *_: None),
        }
        self._builtins = {**vars(builtins), "__import__": self._import, "xrange": range, "unichr": chr, "type": _old_type}
        self.cases = self._load("__init__").Cases
        self.Case = self._load("case").Case
        self.Case.compare = lambda _, one, other: _comparable(one) == _comparable(other)

    @staticmethod
    def _shim(**names):
        module = types.ModuleType("shim")
        vars(module).update(names)
        return module

    def _import(self, name, module_globals=None, module_locals=None, names=(), level=0):
        if name in self._modules:
            return self._modules[name]
        if name.startswith("case"):
            return self._load(name)
        return __import__(name, module_globals, module_locals, names, level)

    def _load(self, name):
        key = "case/" + name
        if key not in self._modules:
            path = self._root / "case" / (name + ".py")
            text = re.sub(r"(?m)^#.*coding.*$", "", path.read_bytes().decode("latin-1"))
            text = re.sub(r"(?m)^(\s*)print\b.*$", r"\1pass", text)
            module = types.ModuleType(name)
            module.__dict__["__builtins__"] = self._builtins
            self._modules[key] = module
            tree = ast.fix_missing_locations(_OldMeaning().visit(ast.parse(text, str(path))))
            exec(compile(tree, str(path), "exec"), module.__dict__)
        return self._modules[key]

    @staticmethod
    def id_of(case):
        """"6.4.1" for Case6_4_1."""
        return case.__name__[len("Case"):].replace("_", ".")


def _comparable(events):
    return [tuple(to_bytes(part) for part in event) for event in events]
