"""
The diarkis-tw command line, one file per subcommand.
"""
