import unittest

from textkit.count import count


class Count(unittest.TestCase):
    def test_lower_case(self):
        self.assertEqual(count("a b a"), {"a": 2, "b": 1})
