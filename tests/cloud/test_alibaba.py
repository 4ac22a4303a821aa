"""
Tests of L{diarkis_tw.cloud.alibaba}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PUBLIC, Alibaba, Reply

TOKENS = "/latest/api/token"
EIP = "/latest/meta-data/eipv4"
ADDRESS = "/latest/meta-data/public-ipv4"


class AlibabaTests(CloudCase):
    """
    ECS.
    """

    def setUp(self):
        super().setUp()
        self.alibaba = self.serve(Alibaba)

    async def test_hardened(self):
        """
        With a token, where tokens are demanded.
        """
        self.assertEqual(await self.find("ALIBABA", self.alibaba.base), Found(PUBLIC, "eipv4"))
        self.assertEqual(self.alibaba.asked, [TOKENS, EIP])

    async def test_normal(self):
        """
        Without one, where there are none.
        """
        self.alibaba.has_tokens = self.alibaba.is_hardened = False
        self.assertEqual(await self.find("ALIBABA", self.alibaba.base), Found(PUBLIC, "eipv4"))
        self.assertNotIn("x-aliyun-ecs-metadata-token", self.alibaba.requests[1].headers)

    async def test_public(self):
        """
        Without an elastic address it is the one assigned with the instance.
        """
        del self.alibaba.items["eipv4"]
        self.assertEqual(
            await self.find("ALIBABA", self.alibaba.base), Found("192.0.2.2", "public-ipv4")
        )
        self.assertEqual(self.alibaba.asked, [TOKENS, EIP, ADDRESS])

    async def test_none(self):
        """
        Behind SLB or NAT alone there is neither.
        """
        self.alibaba.items.clear()
        await self.refused("ALIBABA", self.alibaba.base, "has none", "elastic IP", "SLB or NAT")

    async def test_tokenDemanded(self):
        """
        Where a token is demanded and none is given, that is said.
        """
        self.alibaba.instead[TOKENS] = Reply(403)
        await self.refused("ALIBABA", self.alibaba.base, "403", "hardening", "HttpTokens")
