"""
Tests of L{diarkis_tw.cli.main}.
"""

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

MAIN = "import sys; from diarkis_tw.cli.main import main; sys.exit(main(sys.argv[1:]))"


class PipeTests(SynchronousTestCase):
    """
    Output that another program reads.
    """

    def test_nobodyReads(self) -> None:
        """
        A reader that has seen enough ends the command without a traceback, whether its output
        fits a buffer or not.
        """
        for words in (["config", "default"], ["config", "doc"], ["config", "schema"]):
            reading, writing = os.pipe()
            os.close(reading)
            try:
                ended = subprocess.run(
                    [sys.executable, "-c", MAIN, *words],
                    stdout=writing,
                    stderr=subprocess.PIPE,
                    timeout=60,
                    check=False,
                )
            finally:
                os.close(writing)
            self.assertEqual((ended.returncode, ended.stderr), (1, b""), words)
