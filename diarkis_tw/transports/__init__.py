"""
Twisted shells around the codecs, one file a transport; no game logic.
"""
