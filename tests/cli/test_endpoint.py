"""
Tests of C{diarkis-tw endpoint}.
"""

from signal import SIGINT

from twisted.internet.defer import Deferred

from diarkis_tw.cli.endpoint import dry_run, read_settings
from diarkis_tw.cloud.sources import WHAT_IS_MY_IP
from diarkis_tw.errors import CloudError, ConfigError
from diarkis_tw.testing.loopback import LoopbackReactor
from tests.cloud.fakes import PUBLIC, Aws, Azure, Reply, WhatIsMyIp
from tests.config.case import ConfigCase
from tests.integration.process import ProcessCase


class DryRunTests(ConfigCase):
    """
    What is said where nobody has to be asked.
    """

    def setUp(self):
        super().setUp()
        self.reactor = LoopbackReactor()

    def run_dry(self, content=None, generic=False, cloud=None, **environ):
        path = None if content is None else str(self.write(content))
        lines = []
        settings = read_settings(path, None, cloud, environ)
        self.work = Deferred.fromCoroutine(dry_run(self.reactor, settings, generic, lines.append))
        self.reactor.pump()
        return lines

    def said(self, *args, **kwargs):
        lines = self.run_dry(*args, **kwargs)
        self.successResultOf(self.work)
        self.assertEqual(self.reactor.links, [])
        self.assertEqual(self.reactor.attempts, [])
        return lines

    def test_nothing(self):
        """
        Without a word about it, it is what is bound.
        """
        self.assertEqual(
            self.said(),
            [
                "DIARKIS_CLOUD_ENV is not set: nobody is asked",
                "Clients would be told:",
                "    UDP 127.0.0.1 port 7000, or the next free one above",
                "    TCP 127.0.0.1 port 7200, or the next free one above",
                "    WS  127.0.0.1 port 7300, or the next free one above",
            ],
        )

    def test_host(self):
        """
        A host is that host, of the command line before the environment, with doubts.
        """
        content = {"TCP": {"address": "0.0.0.0", "port": 0}}
        lines = self.said(content, DIARKIS_CLOUD_ENV="a.example")
        self.assertEqual(lines[0], "DIARKIS_CLOUD_ENV=a.example: nobody is asked")
        self.assertEqual(lines[2:], ["    TCP a.example any port"])
        lines = self.said(content, cloud="10.0.0.5", DIARKIS_CLOUD_ENV="a.example")
        self.assertEqual(lines[2], "    TCP 10.0.0.5 any port")
        self.assertIn("private network", lines[3])

    def test_url(self):
        """
        A service on the internet is named and not asked, unless that is demanded.
        """
        content = {"TCP": {}, "node": {"publicAddressUrl": "http://a.example/ip"}}
        lines = self.said(content)
        self.assertIn("http://a.example/ip would be asked, and is with --generic", lines[0])
        self.assertIn("TCP what it answers port 7200", lines[2])

    def test_onlyHttp(self):
        """
        A node that clients do not connect to is said to be one.
        """
        self.assertEqual(self.said({"HTTP": {}})[1:], ["There is nothing that clients connect to."])

    def test_nobodyAnswers(self):
        """
        A failed look-up shows its requests first.
        """
        lines = self.run_dry(DIARKIS_CLOUD_ENV="linode", DIARKIS_METADATA_BASE="http://127.0.0.1:8")
        self.reactor.advance(0.3)  # Twisted waits that long for a name's further addresses
        self.failureResultOf(self.work, CloudError)
        self.assertEqual(
            lines,
            [
                "DIARKIS_METADATA_BASE: http://127.0.0.1:8 is asked instead of the cloud",
                "LINODE is asked:",
                "    PUT http://127.0.0.1:8/v1/token: connection refused (300 ms)",
            ],
        )

    def test_wrong(self):
        """
        A wrong configuration is the error it is at start.
        """
        self.assertRaises(ConfigError, read_settings, None, None, "Lionde", {})
        self.assertRaises(ConfigError, read_settings, None, "tcp", None, {})
        flat = str(self.write({"address": "0.0.0.0"}))
        settings = read_settings(flat, "tcp", "aws", {})
        self.assertEqual(settings.cloud, "AWS")


class ProcessTests(ProcessCase):
    """
    The program.
    """

    def run_program(self, *options):
        process = self.start("diarkis-tw", "endpoint", *options)
        return process.wait(), process.output()

    def serve(self, fake):
        started = fake()
        self.addCleanup(started.close)
        self.environ["DIARKIS_METADATA_BASE"] = started.base
        return started

    def test_found(self):
        """
        Each request is shown with outcome and time, then the address and its source.
        """
        fake = self.serve(Aws)
        del fake.items["public-hostname"]
        status, output = self.run_program("--cloud", "aws")
        self.assertEqual(status, 0, output)
        for pattern in (
            r"AWS is asked:\n"
            r"    PUT http://\S+/latest/api/token: 200 OK, 18 characters \(\d+ ms\)\n"
            r"    GET http://\S+/latest/meta-data/public-hostname: 404 Not Found, .* \(\d+ ms\)\n"
            r"    GET http://\S+/latest/meta-data/public-ipv4: 200 OK, 12 characters \(\d+ ms\)\n"
            r"The public address is 198.51.100.7 \(public-ipv4\)\.\n"
            r"Clients would be told:\n"
            r"    UDP 198.51.100.7 any port\n",
        ):
            self.assertRegex(output, pattern)

    def test_notFound(self):
        """
        Status 1, with the sentence that a server would end with.
        """
        self.serve(Azure).instead = {"*": Reply(403)}
        status, output = self.run_program("--cloud", "azure")
        self.assertEqual(status, 1, output)
        self.assertIn("diarkis-tw endpoint: AZURE: asking for the public address failed", output)
        self.assertNotIn("Traceback", output)

    def test_generic(self):
        """
        C{--generic} asks the service.
        """
        fake = self.serve(WhatIsMyIp)
        status, output = self.run_program("--generic")
        self.assertEqual(status, 0, output)
        self.assertIn(f"The public address is {PUBLIC} ({WHAT_IS_MY_IP}).", output)
        self.assertEqual(fake.asked, ["/"])

    def test_interrupted(self):
        """
        Control-C ends it with status 1, without a traceback.
        """
        fake = self.serve(WhatIsMyIp)
        fake.instead["*"] = Reply(delay=60)
        process = self.start("diarkis-tw", "endpoint", "--generic")
        process.until(lambda: bool(fake.requests))
        process.signal(SIGINT)
        self.assertEqual(process.wait(), 1, process.output())
        self.assertNotIn("Traceback", process.output())
