#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""s3_server: enough of S3 to be wrong against: PUT, multipart, GET, LIST, DELETE in memory, with every signature
computed again by botocore, which shares no code with ours. It can be told to fail.

    s3_server.py PORTS_FILE [--virtual-host] [--tls CERTIFICATE KEY]

Prints nothing; writes "port=N" when it listens. POST /-/control with a JSON object changes how it answers:
    {"fail": KIND, "count": N, "skip": M}  after M requests, the next N get KIND:
        500 | 503 | hang (no answer until the client goes) | cut (closes mid-answer) | torn (stores nothing, 200 and
        an error for a completed upload) | lost (does it, and closes without an answer)
    {"skew_s": N}                          its clock stands so far off
    {"dump": FOLDER}                       writes what it holds into files
GET /-/state: {"objects": {name: sha256}, "classes": {name: storage class}, "uploads": open uploads, "refused": [codes],
"requests": N}."""

import datetime
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import urllib.parse

try:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print("there is no botocore: install python3-botocore", file=sys.stderr)
    sys.exit(77)

ACCESS, SECRET, REGION, BUCKET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-test-1", "acme-clicks"
SKEW_MAX_S = 900
PART_BYTES_MIN = 5 << 20


class Refusal(Exception):
    def __init__(self, status, code, words=""):
        super().__init__(code)
        self.status, self.code, self.words = status, code, words


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.classes, self.uploads, self.refused = {}, {}, {}, []
        self.requests = self.upload_serial = 0
        self.fail, self.count, self.skip, self.skew_s = None, 0, 0, 0

    def trouble(self):
        """What this request has to meet, or None."""
        with self.lock:
            self.requests += 1
            if self.skip > 0:
                self.skip -= 1
                return None
            if self.count == 0:
                return None
            self.count -= 1
            return self.fail


state = State()


def verify(method, path, query, headers, body):
    """By botocore: what would the one who knows the secret have signed?"""
    authorization = headers.get("Authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        raise Refusal(403, "AccessDenied", "no signature")
    said = dict(part.strip().split("=", 1) for part in authorization.split(" ", 1)[1].split(","))
    access, day, region, service, end = said["Credential"].split("/")
    if access != ACCESS:
        raise Refusal(403, "InvalidAccessKeyId")
    if (region, service, end) != (REGION, "s3", "aws4_request"):
        raise Refusal(400, "AuthorizationHeaderMalformed", "the region is wrong")
    when = headers.get("X-Amz-Date", "")
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=state.skew_s)
    then = datetime.datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((now - then).total_seconds()) > SKEW_MAX_S:
        raise Refusal(403, "RequestTimeTooSkewed")
    signed = said["SignedHeaders"].split(";")
    if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed) or not when.startswith(day):
        raise Refusal(403, "AccessDenied", "not everything that must be is signed")
    if any(name.lower().startswith("x-amz-") and name.lower() not in signed for name in headers):
        raise Refusal(403, "AccessDenied", "an x-amz header is not signed")
    request = AWSRequest(method=method, url=f"http://{headers['Host']}{path}",
                         params=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
                         headers={name: headers[name] for name in signed}, data=body)
    request.context["timestamp"] = when
    auth = S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", REGION)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if not hmac.compare_digest(signature, said["Signature"]):
        raise Refusal(403, "SignatureDoesNotMatch")
    if hashlib.sha256(body).hexdigest() != headers["X-Amz-Content-SHA256"]:
        raise Refusal(400, "XAmzContentSHA256Mismatch")


def dump(folder):
    for name, data in state.objects.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    virtual_host = False

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def control(self, body):
        if self.command == "POST":
            for key, value in json.loads(body).items():
                if key == "dump":
                    dump(value)
                else:
                    setattr(state, key, value)
            return self.answer(200)
        return self.answer(200, json.dumps({
            "objects": {name: hashlib.sha256(data).hexdigest() for name, data in state.objects.items()},
            "classes": state.classes, "uploads": len(state.uploads), "refused": state.refused,
            "requests": state.requests}))

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        if path.startswith("/-/"):
            self.control(body)
            return
        trouble = state.trouble()
        if trouble == "hang":
            self.connection.settimeout(60)
            try:
                self.connection.recv(1)
            except OSError:
                pass
            self.close_connection = True
            return
        try:
            if trouble in ("500", "503"):
                raise Refusal(int(trouble), "InternalError" if trouble == "500" else "SlowDown")
            verify(self.command, path, query, self.headers, body)
            status, text, headers = self.serve(path, urllib.parse.parse_qs(query, keep_blank_values=True), body, trouble)
        except Refusal as refusal:
            with state.lock:
                state.refused.append(refusal.code)
            self.answer(refusal.status, f"<?xml version=\"1.0\"?><Error><Code>{refusal.code}</Code>"
                                        f"<Message>{refusal.words}</Message></Error>")
            return
        if trouble == "lost":
            self.close_connection = True
            return
        if trouble == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<half")
            self.close_connection = True
            return
        self.answer(status, text, headers)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any  # pylint: disable=invalid-name

    def name_of(self, path):
        if self.virtual_host:
            if not self.headers["Host"].startswith(BUCKET + "."):
                raise Refusal(404, "NoSuchBucket")
            return path[1:]
        bucket, _, name = path[1:].partition("/")
        if bucket != BUCKET:
            raise Refusal(404, "NoSuchBucket")
        return name

    def serve(self, path, query, body, trouble):
        name = self.name_of(path)
        with state.lock:
            if self.command == "GET" and "list-type" in query:
                return self.list(query)
            if self.command == "GET":
                if name not in state.objects:
                    raise Refusal(404, "NoSuchKey")
                return 200, state.objects[name], ()
            if self.command == "DELETE":
                if state.uploads.pop(query["uploadId"][0], None) is None:
                    raise Refusal(404, "NoSuchUpload")
                return 204, b"", ()
            if "uploads" in query:
                state.upload_serial += 1
                upload = f"upload-{state.upload_serial}.+/="
                state.uploads[upload] = {"name": name, "parts": {}, "class": self.headers.get("x-amz-storage-class")}
                return 200, f"<X><UploadId>{upload}</UploadId></X>", ()
            if "uploadId" in query:
                return self.upload(name, query, body, trouble)
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            state.objects[name] = body
            state.classes[name] = self.headers.get("x-amz-storage-class")
            return 200, b"", (("ETag", etag),)

    def upload(self, name, query, body, trouble):
        upload = state.uploads.get(query["uploadId"][0])
        if upload is None or upload["name"] != name:
            raise Refusal(404, "NoSuchUpload")
        if self.command == "PUT":
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            upload["parts"][int(query["partNumber"][0])] = (etag, body)
            return 200, b"", (("ETag", etag),)
        if trouble == "torn":
            return 200, "<Error><Code>InternalError</Code><Message>we are sorry</Message></Error>", ()
        text = body.decode()
        listed = [part.split("</Part>")[0] for part in text.split("<Part>")[1:]]
        for number, part in enumerate(listed, 1):
            have = upload["parts"].get(number)
            if have is None or f"<PartNumber>{number}</PartNumber><ETag>{have[0]}</ETag>" != part:
                raise Refusal(400, "InvalidPart")
            if number < len(listed) and len(have[1]) < PART_BYTES_MIN:
                raise Refusal(400, "EntityTooSmall")
        state.objects[name] = b"".join(upload["parts"][n][1] for n in range(1, len(listed) + 1))
        state.classes[name] = upload["class"]
        del state.uploads[query["uploadId"][0]]
        return 200, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>", ()

    def list(self, query):
        prefix, after = query.get("prefix", [""])[0], query.get("start-after", [""])[0]
        most = min(int(query["max-keys"][0]), 3)
        names = [name for name in sorted(state.objects) if name.startswith(prefix) and name > after][:most]
        rows = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
        return 200, f"<ListBucketResult>{rows}</ListBucketResult>", ()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients go away: that is what the tests are about


def main():
    Handler.virtual_host = "--virtual-host" in sys.argv
    server = Server(("127.0.0.1", 0), Handler)
    if "--tls" in sys.argv:
        at = sys.argv.index("--tls")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[at + 1], sys.argv[at + 2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
        file.write(f"port={server.server_address[1]}\n")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    server.serve_forever()


main()
