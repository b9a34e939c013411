"""A container's health check: is the member in here ready? `probe.py PORT`; ends with 0 if it is.

It asks the member's own metrics listener. Standard library only and no site packages: it runs every
few seconds in each container, and a Python that starts bare costs a tenth of one that imports.
"""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
connection.request("GET", "/readyz")
answer = connection.getresponse()
print(answer.status, answer.read(512).decode(errors="replace").strip())
sys.exit(answer.status != 200)
