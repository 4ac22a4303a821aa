"""
Tests of L{diarkis_tw.http.health}.
"""

from twisted.internet.defer import Deferred

from tests.http.case import HttpCase


class HealthTests(HttpCase):
    """
    C{GET /healthcheck}.
    """

    def test_starting(self) -> None:
        """
        503 before the node serves.
        """
        self.serve(start=False)
        ready: Deferred[None] = Deferred()
        self.server.on_ready(lambda: ready)
        self.start()
        self.assertRefused(self.ask("/healthcheck"), 503, "starting")
        ready.callback(None)
        self.assertEqual(self.ask("/healthcheck").status, 200)

    def test_states(self) -> None:
        """
        200 in every state afterwards, with the state.
        """
        for change, state in (
            (self.server.online, "ONLINE"),
            (self.server.taken, "TAKEN"),
            (self.server.offline, "OFFLINE"),
            (self.server.service().terminate, "OFFLINE"),
        ):
            change()
            answer = self.ask("/healthcheck")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.json(), {"status": "ok", "state": state})
            self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_ready(self) -> None:
        """
        A node on its own is ready for players as soon as it serves.
        """
        answer = self.ask("/healthcheck/ready")
        self.assertEqual((answer.status, answer.json()["state"]), (200, "ONLINE"))
        self.assertRefused(self.ask("/healthcheck/ready/x"), 404, "not_found")

    def test_head(self) -> None:
        """
        A probe may use HEAD.
        """
        answer = self.ask("/healthcheck", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_others(self) -> None:
        """
        Nothing is below it, and it is read only.
        """
        self.assertRefused(self.ask("/healthcheck/x"), 404, "not_found")
        answer = self.ask("/healthcheck", method="POST", body=b"")
        self.assertRefused(answer, 405, "method", "GET")
        self.assertEqual(answer.headers["Allow"], "GET")
