"""
What the tests of clouds share: a look-up over real sockets.
"""

from typing import TypeVar

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from diarkis_tw.cloud.exchange import metadata_client
from diarkis_tw.cloud.metadata import Exchange, Found, Lookup
from diarkis_tw.cloud.sources import CLOUDS, Source
from diarkis_tw.errors import CloudError
from tests.cloud.fakes import FakeMetadata

_F = TypeVar("_F", bound=FakeMetadata)


class CloudCase(TestCase):
    """
    Asks a fake metadata server.

    @ivar exchanges: the requests that were made.
    """

    def setUp(self):
        self.exchanges: list[Exchange] = []

    def serve(self, fake: type[_F]) -> _F:
        """
        Start a fake.
        """
        started = fake()
        self.addCleanup(started.close)
        return started

    async def find(self, cloud: str | Source, base: str | None) -> Found:
        """
        Look the public address up.
        """
        source = CLOUDS[cloud] if isinstance(cloud, str) else cloud
        lookup = Lookup(
            source.name,
            source.advice,
            metadata_client(reactor),
            reactor,
            base=base,
            note=self.exchanges.append,
        )
        return await lookup.run(source.find)

    async def refused(self, cloud: str | Source, base: str | None, *parts: str) -> CloudError:
        """
        Assert that nothing is found, and that the error has these parts, in one line.
        """
        try:
            found = await self.find(cloud, base)
        except CloudError as error:
            text = str(error)
            for part in (cloud if isinstance(cloud, str) else cloud.name, " failed: ", *parts):
                self.assertIn(part, text)
            self.assertNotIn("\n", text)
            self.assertTrue(text.endswith("."), text)
            return error
        raise self.failureException(f"found {found}")
