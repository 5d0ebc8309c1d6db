"""Runs test files given as paths and prints a line `PASSED name` or `FAILED name` for each test."""

import importlib
import os
import sys
import unittest

sys.path.insert(0, os.getcwd())


class Lines(unittest.TestResult):
    """Prints each result as it is known."""

    def report(self, status, test):
        print(status, test.id(), flush=True)

    def addSuccess(self, test):
        self.report("PASSED", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.report("FAILED", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.report("ERROR", test)


def main():
    result = Lines()
    for path in sys.argv[1:]:
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    for _, trace in result.failures + result.errors:
        print(trace, file=sys.stderr)
    sys.exit(0 if result.wasSuccessful() else 1)


main()
