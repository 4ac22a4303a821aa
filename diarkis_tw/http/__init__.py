"""
The endpoint API and health check on twisted.web.
"""
