"""
All servers of configs/all.json: twistd -ny tac/all.tac
"""

from pathlib import Path

from twisted.application.service import Application

from diarkis_tw.tap import Options, makeService

root = Path(__file__).resolve().parent.parent
options = Options()
options.parseOptions(["--config", str(root / "configs" / "all.json"), "--app", "diarkis_tw.demo"])

application = Application("diarkis")
makeService(options).setServiceParent(application)
