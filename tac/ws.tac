"""
The WebSocket server and the endpoint API: twistd -ny tac/ws.tac
"""

from pathlib import Path

from twisted.application.service import Application

from diarkis_tw.tap import Options, makeService

root = Path(__file__).resolve().parent.parent
options = Options()
options.parseOptions(["--config", str(root / "configs" / "ws.json"), "--app", "diarkis_tw.demo"])

application = Application("diarkis")
makeService(options).setServiceParent(application)
