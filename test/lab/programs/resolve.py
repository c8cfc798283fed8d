"""Looks up one name, once: prints `asking`, then its time and result as one line of JSON."""

import json
import socket
import sys
import time

# A first look-up of a name in /etc/hosts, so that what Python imports only once is not measured.
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
