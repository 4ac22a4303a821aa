"""
L{bench.http}.
"""

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from bench.http import bare, measure, ours


class Silent(Resource):
    """
    Never answers.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        return NOT_DONE_YET


class HttpTests(SynchronousTestCase):
    """
    The benchmark of HTTP routes.
    """

    def test_requests(self) -> None:
        """
        Requests take time on either side and are answered.
        """
        for site in (bare(), ours()):
            self.assertGreater(measure(site, 3), 0)

    def test_missing_answer(self) -> None:
        """
        A request that is not answered fails the run.
        """
        site = Site(Silent(), reactor=MemoryReactorClock())
        site.log = lambda request: None  # type: ignore[method-assign]
        self.assertRaises(RuntimeError, measure, site, 1)
