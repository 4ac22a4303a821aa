"""
Tests of L{diarkis_tw.cloud.tencent}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PUBLIC, Tencent


class TencentTests(CloudCase):
    """
    CVM; by name and by address are in L{tests.cloud.test_times}.
    """

    async def test_address(self):
        """
        It is the public address.
        """
        tencent = self.serve(Tencent)
        self.assertEqual(await self.find("TENCENT", tencent.base), Found(PUBLIC, "public-ipv4"))
        self.assertEqual(tencent.asked, ["/latest/meta-data/public-ipv4"])

    async def test_none(self):
        """
        An instance without one is told so.
        """
        tencent = self.serve(Tencent)
        for items in ({}, {"public-ipv4": ""}):
            tencent.items = items
            await self.refused("TENCENT", tencent.base, "has none", "elastic IP")
