"""
What tests of the endpoint API share.
"""

from diarkis_tw.core.user import User
from tests.http.case import Answer, HttpCase

ALICE = "/endpoint/type/TCP/user/alice"
JSON = {"Content-Type": "application/json"}


class EndpointCase(HttpCase):
    """
    Helpers.
    """

    def made(self, answer: Answer) -> User:
        """
        The user whose endpoint this answer is.
        """
        self.assertEqual(answer.status, 200, answer.body)
        user = self.server.users.find_sid(bytes.fromhex(str(answer.json()["sid"])))
        assert user is not None
        return user

    def sessions(self) -> int:
        """
        How many sessions there are, pending ones included.
        """
        return len(self.server.users._by_sid)
