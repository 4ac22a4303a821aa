"""
L{bench.figures}.
"""

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import percentile, spread


class FiguresTests(SynchronousTestCase):
    """
    Numbers of repeated measurements.
    """

    def test_percentile(self) -> None:
        """
        A percentile is a measured value, also at the ends and of a single one.
        """
        hundred = [float(number) for number in range(100)]
        self.assertEqual(percentile(hundred, 50), 50.0)
        self.assertEqual(percentile(hundred, 99), 99.0)
        self.assertEqual(percentile(hundred, 100), 99.0)
        self.assertEqual(percentile([7.0], 99), 7.0)

    def test_spread(self) -> None:
        """
        A spread shows the median first, then the least and the greatest.
        """
        self.assertEqual(spread([3.0, 1.0, 2.25], 2), "2.25 (1.00-3.00)")
