"""Looks up one name, once: prints `asking`, then how long that took and what came of it as one line of JSON."""

import json
import socket
import sys
import time

# What Python imports at its first look-up is no resolver's time; this name is in /etc/hosts.
socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

addresses, error = [], ""
print("asking", flush=True)
start = time.monotonic()
try:
    answers = socket.getaddrinfo(sys.argv[1], 80, type=socket.SOCK_STREAM)
    addresses = [answer[4][0] for answer in answers]
except socket.gaierror as failure:
    error = {socket.EAI_AGAIN: "EAI_AGAIN", socket.EAI_NONAME: "EAI_NONAME"}.get(failure.errno, failure.strerror)
took = (time.monotonic() - start) * 1000
print(json.dumps({"ms": took, "addresses": addresses, "error": error}))
