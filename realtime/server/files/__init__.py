"""Files over HTTP: an upload goes to disk, through a session in a hurry, and back as the vendor's answer.

body ─► upload (temporary file) ─► media (worker thread) ─► run (session, engine) ─► dialect ─► response
"""
