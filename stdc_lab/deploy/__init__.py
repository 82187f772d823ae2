"""From weights to something that is used elsewhere. Its files are imported one by one: some need much to be loaded."""
