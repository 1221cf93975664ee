"""A hostile tenant that knows ids, names, cursors and files of two others, and can neither use nor recognise them."""
