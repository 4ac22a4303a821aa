"""
The connector of configs/connector.json: twistd -ny tac/connector.tac
"""

from pathlib import Path

from twisted.application.service import Application

from diarkis_tw.tap import Options, makeService

root = Path(__file__).resolve().parent.parent
options = Options()
options.parseOptions(["--config", str(root / "configs" / "connector.json")])

application = Application("diarkis")
makeService(options).setServiceParent(application)
