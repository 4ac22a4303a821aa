"""
Tests of L{diarkis_tw.core.directory}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.core.directory import Directory


class DirectoryTests(SynchronousTestCase):
    """
    Where users are.
    """

    def test_last_counts(self) -> None:
        """
        The last one counts, until it is forgotten; forgetting nobody is harmless.
        """
        directory = Directory()
        directory.put("alice", "a")
        directory.put("alice", "b")
        self.assertEqual(directory.find("alice"), "b")
        for uid in ("alice", "nobody"):
            directory.forget(uid)
            self.assertIsNone(directory.find(uid))

    def test_bounded(self) -> None:
        """
        When it is full, who came longest ago is forgotten.
        """
        directory = Directory(limit=3)
        for uid in ("a", "b", "c", "a", "d"):
            directory.put(uid, "node")
        self.assertEqual([uid for uid in "abcd" if directory.find(uid)], ["a", "c", "d"])
        self.assertEqual(len(directory), 3)
