"""Bad input below the requests themselves: addresses, methods, and bytes that are no HTTP."""

import asyncio

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


def test_addresses_and_methods_that_do_not_exist_are_told_apart(mesh, tools):
    async def ask():
        await tools.new_people(mesh, 1)
        async with tools.session(mesh) as http:
            await tools.checkpoint(http, size_min=1)
            for method, path, status, code in (
                ("GET", "/nowhere", 404, "not_found"),
                ("GET", "/v1/requests", 405, "method_not_allowed"),
                ("DELETE", "/v1/subjects", 405, "method_not_allowed"),
                ("GET", "/v1/requests/short", 400, "parameter_invalid"),
                ("GET", f"/v1/requests/{'A' * 43}/receipt", 404, "request_unknown"),
                ("GET", "/tile/../../etc/passwd", 404, "not_found"),
                ("GET", "/tile/0/999", 404, "not_found"),
                ("GET", "/v1/entries/99999999999", 404, "index_out_of_range"),
                ("GET", "/v1/entries/-1", 400, "parameter_invalid"),
                ("GET", "/v1/proofs/inclusion?index=0&index=1", 400, "parameter_invalid"),
            ):
                async with http.request(method, path) as response:
                    members = await response.json(content_type=None)
                    assert (response.status, members["code"]) == (status, code), (path, members)

    asyncio.run(ask())


def test_bytes_that_are_no_http_get_an_answer_and_hurt_nobody(mesh):
    host, port = mesh.cell.gateways[0].http.split(":")
    pieces = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/requests HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nx",
        b"POST /v1/requests HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]

    async def throw(piece):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(piece)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        return answer

    for piece in pieces:
        answer = asyncio.run(throw(piece))
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), (piece[:40], answer[:100])
