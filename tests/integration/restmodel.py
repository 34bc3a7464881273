# SPDX-License-Identifier: MIT
"""Random requests of several clients at once, each answer checked against a model.

    restmodel.py CONNECTION-FILE REQUESTS CLIENTS SEED

Every client is a process with jobs, locks, keys and a tag of its own, so it knows what must be answered whatever the others do: its
model has for each job what was asked for, what may have become of it by now, and who must hold which lock. Half of them come
by the Unix socket, half by TLS. The program is tests/integration/rest.c.
"""
import base64
import http.client
import json
import random
import socket
import ssl
import struct
import sys
import traceback
import uuid
from multiprocessing import Process

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
# What may follow what, none of these jobs being run twice.
NEXT = {"PENDING": ("PENDING", "RUNNING", "CANCELLING") + ENDED, "RUNNING": ("RUNNING", "CANCELLING") + ENDED,
        "CANCELLING": ("CANCELLING", "CANCELLED"), **{status: (status,) for status in ENDED}}
MOST_JOBS = 30
MOST_HOLDING = 2  # they take a tenth of a core each, and others must get on
PATIENCE = 20     # waits of at most a minute


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Job:
    def __init__(self, name, value, lock, key):
        self.name, self.value, self.lock, self.key = name, value, lock, key
        self.status = "PENDING"  # as seen last
        self.cancelled = False   # it was asked to stop

    def may_have_ended(self):
        return self.name != "hold" or self.cancelled or self.status in ENDED

    def has_ended(self):
        return self.status in ENDED


def wrong(what, *details):
    raise AssertionError(what + ": " + " ".join(repr(detail)[:500] for detail in details))


def must(condition, what, *details):
    if not condition:
        wrong(what, *details)


class Client:
    def __init__(self, connect, number, seed):
        self.connect, self.number = connect, number
        self.random = random.Random("%s/%d" % (seed, number))
        self.tag = "client %d" % number
        self.jobs = {}  # by id, the oldest first
        self.requests = 0
        self.line = None

    # --- requests ---

    def open(self):
        if self.number % 2 == 0:
            return UnixConnection(self.connect["socket"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.connect["url"].removeprefix("https://"), context=context)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body; a connection is used for many requests, now and then for one."""
        headers = dict(headers or {})
        if self.number % 2:
            headers["Authorization"] = "Bearer " + self.connect["token"]
        if self.line and self.random.random() < 0.02:
            self.line.close()
            self.line = None
        for _ in range(2):  # the server may have closed one on which nothing was said for long
            fresh = self.line is None
            self.line = self.line or self.open()
            try:
                self.line.request(method, path, body, headers)
                answer = self.line.getresponse()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.line.close()
                self.line = None
                if fresh:
                    raise
        self.requests += 1
        data = answer.read()
        if answer.will_close:
            self.line.close()
            self.line = None
        return answer.status, answer.headers, data

    def json(self, method, path, body=None, want=(200,)):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        status, _, data = self.ask(method, path, None if body is None else json.dumps(body), headers)
        must(status in want, "%s %s" % (method, path), status, data, body)
        value = json.loads(data)
        must(status < 400 or (value["status"] == status and value["detail"]), "no problem", value)
        return status, value

    # --- values: as JSON, and as bytes ---

    def value(self):
        kind = self.random.randrange(5)
        if kind == 0:
            return None, None
        if kind == 1:
            text = "".join(self.random.choice("abc äöü€😀\n\"\\\u0001") for _ in range(self.random.randrange(50)))
            return text, ("text", text.encode())
        if kind == 2:
            data = self.random.randbytes(self.random.choice((0, 1, 2, 3, 100, 20000)))
            return {"type": "bytes", "value": base64.b64encode(data).decode()}, ("bytes", data)
        if kind == 3:
            numbers = [self.random.randrange(-2**31, 2**31) for _ in range(self.random.randrange(1, 20))]
            return {"type": "int32", "value": numbers}, ("int32", struct.pack("=%di" % len(numbers), *numbers))
        numbers = [self.random.uniform(-1e300, 1e300) for _ in range(6)]
        return ({"type": "float64", "dims": [2, 3], "value": [numbers[:3], numbers[3:]]},
                ("float64", struct.pack("=6d", *numbers)))

    # --- what is known of a job ---

    def learn(self, id, shown):
        """Takes in what an answer shows of a job, which must be what may have become of it."""
        job = self.jobs[id]
        must(shown["id"] == id and shown["job"] == job.name and shown["tag"] == self.tag, "another job", id, shown)
        must(shown["lock"] == job.lock and shown["key"] == job.key, "lock or key", job.__dict__, shown)
        must(shown["status"] in NEXT[job.status], "from %s to %s" % (job.status, shown["status"]), shown)
        if not job.cancelled:
            must(shown["status"] not in ("CANCELLING", "CANCELLED"), "nobody has cancelled it", shown)
            must(shown["status"] != "SUCCEEDED" or job.name == "echo", "it cannot succeed", shown)
        must(shown["status"] != "FAILED" or job.name == "breaks", "it cannot fail", shown)
        must((shown["error"] is not None) == (shown["status"] == "FAILED"), "an error", shown)
        must((shown["ended"] is not None) == (shown["status"] in ENDED), "its end", shown)
        must(shown["status"] != "SUCCEEDED" or (shown["yields"] == 1 and shown["attempts"] == 1), "its yields", shown)
        job.status = shown["status"]

    def end_of(self, id):
        """Waits until it has ended, as it must."""
        for _ in range(PATIENCE):
            _, shown = self.json("GET", "/v1/jobs/%s?wait=60" % id)
            self.learn(id, shown)
            if self.jobs[id].has_ended():
                return shown
        return wrong("it does not end", id, shown)

    def pick(self, allowed=lambda job: True):
        ids = [id for id, job in self.jobs.items() if allowed(job)]
        return self.random.choice(ids) if ids else None

    def holder(self, lock):
        """Who may have it, the newest first."""
        return [id for id, job in reversed(self.jobs.items()) if job.lock == lock and not job.has_ended()]

    # --- what is done ---

    def start(self):
        holding = sum(job.name == "hold" and not job.has_ended() for job in self.jobs.values())
        name = self.random.choices(("echo", "breaks", "hold"), (6, 1, 3 if holding < MOST_HOLDING else 0))[0]
        value, expected = self.value()
        lock = "lock %d/%d" % (self.number, self.random.randrange(3)) if self.random.random() < 0.3 else None
        key = "key %d/%d" % (self.number, self.random.randrange(20)) if self.random.random() < 0.2 else None
        body = {"job": name, "tag": self.tag, "input": value, "lock": lock, "key": key}
        status, answer = self.json("POST", "/v1/jobs", body, (200, 201, 409))
        known = [id for id, job in self.jobs.items() if key and job.key == key]
        if known:  # whatever else is asked for
            must(status == 200 and answer["id"] == known[0], "a key that is known", body, status, answer, known)
            return
        holders = self.holder(lock) if lock else []
        sure = [id for id in holders if not self.jobs[id].may_have_ended()]
        if status == 409:
            must(answer["code"] == "MN_E_LOCK_IN_USE" and answer["holder"] in holders, "a lock that is free", body, answer, holders)
            return
        must(status == 201 and not sure, "a lock that is in use, or another key", body, status, answer, sure)
        must(answer["id"] not in self.jobs, "an id that was there", answer)
        self.jobs[answer["id"]] = Job(name, expected, lock, key)

    def start_as_it_is(self):
        data = self.random.randbytes(self.random.choice((1, 1000, 70000)))
        status, headers, body = self.ask("POST", "/v1/jobs?job=echo&tag=" + self.tag.replace(" ", "%20"), data,
                                         {"Content-Type": "application/octet-stream"})
        must(status == 201, "a start with a body as it is", status, body)
        id = json.loads(body)["id"]
        must(headers["Location"] == "/v1/jobs/" + id, "its place", headers["Location"])
        self.jobs[id] = Job("echo", ("bytes", data), None, None)

    def start_many(self):
        values = [self.value() for _ in range(self.random.randrange(1, 6))]
        _, answer = self.json("POST", "/v1/jobs", {"job": "echo", "tag": self.tag, "inputs": [value for value, _ in values]}, (201,))
        must(len(answer["ids"]) == len(values) and answer["error"] is None, "many", answer)
        for id, (_, expected) in zip(answer["ids"], values):
            self.jobs[id] = Job("echo", expected, None, None)

    def get(self):
        id = self.pick()
        if id:
            _, shown = self.json("GET", "/v1/jobs/" + id)
            self.learn(id, shown)
            self.check_value(shown["input"], self.jobs[id].value)

    def check_value(self, shown, expected):
        if expected is None:
            must(shown is None, "a value of none", shown)
            return
        must(shown["type"] == expected[0] and shown["size"] == len(expected[1]), "type or size", shown, expected)
        if shown["size"] > 65536:
            must(shown["value"] is None, "a large value", shown)
        elif shown["type"] == "text":
            must(shown["value"].encode() == expected[1], "a text", shown, expected)
        elif shown["type"] == "bytes":
            must(base64.b64decode(shown["value"]) == expected[1], "bytes", shown, expected)
        elif shown["type"] == "int32":
            must(struct.pack("=%di" % len(shown["value"]), *shown["value"]) == expected[1], "numbers", shown, expected)
        else:
            must(struct.pack("=6d", *sum(shown["value"], [])) == expected[1], "a matrix", shown, expected)

    def wait(self):
        id = self.pick(Job.may_have_ended)
        if not id:
            return
        shown = self.end_of(id)
        job = self.jobs[id]
        if shown["status"] == "SUCCEEDED":
            self.check_value(shown["result"], job.value)
        elif shown["status"] == "FAILED":
            must("broke" in shown["error"] and shown["reason"] == "error", "its error", shown)
        elif job.name == "hold":
            ran = shown["attempts"] > 0
            must((shown["result"] or {}).get("value") == ("cleaned up" if ran else None), "what it cleaned up", shown)

    def result(self):
        id = self.pick()
        if not id:
            return
        job = self.jobs[id]
        status, headers, data = self.ask("GET", "/v1/jobs/%s/result" % id)
        if status == 404:
            must(json.loads(data)["code"] == "MN_E_NO_RESULT" and job.status != "SUCCEEDED", "no result", job.__dict__, data)
        elif job.name == "hold":
            must(status == 200 and job.cancelled and data == b"cleaned up", "a result of one that holds", status, data)
        else:
            must(status == 200 and job.name == "echo", "a result", status, job.__dict__)
            must(data == (job.value[1] if job.value else b""), "another result", data, job.value)
            must(not job.value or headers["Multinode-Type"] == job.value[0], "its type", headers["Multinode-Type"])

    def cancel(self):
        id = self.pick()
        if not id:
            return
        job = self.jobs[id]
        status, answer = self.json("PUT", "/v1/jobs/%s/cancel" % id, want=(200, 202))
        must(answer["id"] == id and answer["had_ended"] == (status == 200), "a cancel", status, answer)
        if job.has_ended():
            must(status == 200, "one that had ended is cancelled", answer)
        elif status == 200:
            must(job.may_have_ended(), "one that runs had ended", job.__dict__)
        else:
            job.cancelled = True

    def remove(self):
        id = self.pick()
        if not id:
            return
        status, _, data = self.ask("DELETE", "/v1/jobs/" + id)
        must(status == 204 and not data, "a removal", status, data)
        del self.jobs[id]
        for method, path in (("GET", ""), ("PUT", "/cancel"), ("DELETE", ""), ("GET", "/result"), ("GET", "/logs"), ("GET", "/why"), ("GET", "/events")):
            if self.random.random() < 0.3:
                _, problem = self.json(method, "/v1/jobs/" + id + path, want=(404,))
                must(problem["code"] == "MN_E_NO_JOB", "one that was removed", problem)

    def list(self):
        """All of its own jobs, page by page: exactly these, the newest first."""
        limit, after, found = self.random.choice((1, 7, 1000)), None, []
        while True:
            path = "/v1/jobs?tag=%s&limit=%d" % (self.tag.replace(" ", "%20"), limit) + ("&after=" + after if after else "")
            _, page = self.json("GET", path)
            must(len(page["jobs"]) <= limit, "a page", page)
            for shown in page["jobs"]:
                must(shown["id"] in self.jobs, "one that is not there", shown)
                self.learn(shown["id"], shown)
                found.append(shown["id"])
            after = page["next"]
            if not after:
                break
        must(found == list(reversed(self.jobs)), "the list", found, list(reversed(self.jobs)))

    def filter(self):
        status = self.random.choice(ENDED + ("RUNNING", "active"))
        _, page = self.json("GET", "/v1/jobs?limit=1000&status=%s&tag=%s" % (status.lower(), self.tag.replace(" ", "%20")))
        for shown in page["jobs"]:
            must(status in ("active", shown["status"]) and (status != "active" or shown["status"] not in ENDED), "a filter", status, shown)
            self.learn(shown["id"], shown)
        if status in ENDED:
            must({id for id, job in self.jobs.items() if job.status == status} <= {shown["id"] for shown in page["jobs"]}, "too few", page)

    def find(self):
        id = self.pick()
        if id:
            _, found = self.json("GET", "/v1/jobs?prefix=" + id.replace("-", "")[:self.random.choice((8, 20, 32))])
            must(id in [shown["id"] for shown in found["jobs"]], "the beginning of an id", id, found)

    def locks(self):
        _, answer = self.json("GET", "/v1/locks")
        held = {lock["name"]: lock["holder"] for lock in answer["locks"]}
        for id, job in self.jobs.items():
            must(not job.lock or job.may_have_ended() or held.get(job.lock) == id, "a lock that is held", job.__dict__, held)
        for name, holder in held.items():
            if name.startswith("lock %d/" % self.number):
                must(holder in self.holder(name), "a lock that is free", name, holder)

    def logs(self):
        id = self.pick(lambda job: job.name == "echo" and job.status == "SUCCEEDED")
        if id:
            status, _, data = self.ask("GET", "/v1/jobs/%s/logs" % id)
            size = len(self.jobs[id].value[1]) if self.jobs[id].value else 0
            must(status == 200 and data == b"echo of %d bytes\n" % size, "a log", status, data, size)

    def events(self):
        id = self.pick(Job.has_ended)
        if id:
            status, headers, data = self.ask("GET", "/v1/jobs/%s/events" % id)
            lines = data.decode().split("\n")
            must(status == 200 and lines[1] == "event: end" and data.endswith(b"\n\n"), "events", status, data)
            self.learn(id, json.loads(lines[2].removeprefix("data: ")))

    def whole(self):
        path = self.random.choice(("/v1/health", "/v1/nodes", "/metrics", "/v1/openapi.json"))
        status, _, data = self.ask("GET", path)
        must(status == 200 and data, path, status, data)
        if path == "/v1/health":
            health = json.loads(data)
            ended = [sum(job.status == status for job in self.jobs.values()) for status in ENDED]
            must(health["status"] == "ok" and all(health["jobs"][status] >= count for status, count in zip(ENDED, ended)), "health", health, ended)

    def nonsense(self):
        id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        method, path, body, want = self.random.choice((
            ("GET", "/v1/jobs/" + id, None, 404), ("DELETE", "/v1/jobs/" + id, None, 404), ("PUT", "/v1/jobs/%s/cancel" % id, None, 404),
            ("GET", "/v1/jobs/x", None, 404), ("GET", "/v1//jobs", None, 404), ("GET", "/v1/jobs/../health", None, 404),
            ("GET", "/v1/jobs/%00", None, 404), ("GET", "/" + "a" * self.random.randrange(5000), None, 404),
            ("PATCH", "/v1/jobs", None, 405), ("DELETE", "/v1/health", None, 405), ("GET", "/v1/jobs?limit=0", None, 400),
            ("GET", "/v1/jobs?status=gone", None, 400), ("GET", "/v1/jobs?after=" + id, None, 404), ("POST", "/v1/jobs", "{", 400),
            ("POST", "/v1/jobs", json.dumps({"job": "nothing"}), 400), ("POST", "/v1/jobs", json.dumps({"job": "echo", "input": 7}), 400),
            ("POST", "/v1/jobs", json.dumps({"job": "echo", "cpu": 1024}), 422), ("POST", "/v1/jobs", "[" * 3000, 400),
            ("POST", "/v1/jobs", json.dumps({"job": "echo", "lock": "x" * 256}), 400),
            ("POST", "/v1/jobs", self.random.randbytes(50), 400)))
        status, headers, data = self.ask(method, path, body, {"Content-Type": "application/json"} if body else None)
        must(status == want and headers["Content-Type"] == "application/problem+json", "nonsense", method, path, body, status, data)
        must(json.loads(data)["status"] == want, "its problem", data)

    def tidy(self):
        for id in list(self.jobs):
            status, _, data = self.ask("DELETE", "/v1/jobs/" + id)
            must(status == 204, "the last removal", status, data)
        self.jobs = {}
        self.list()

    def run(self, requests):
        acts = {self.start: 20, self.start_as_it_is: 3, self.start_many: 2, self.get: 14, self.wait: 6, self.result: 10, self.cancel: 8,
                self.remove: 5, self.list: 3, self.filter: 4, self.find: 4, self.locks: 5, self.logs: 4, self.events: 3, self.whole: 3,
                self.nonsense: 10}
        while self.requests < requests:
            if len(self.jobs) > MOST_JOBS:
                self.remove()
            else:
                self.random.choices(list(acts), list(acts.values()))[0]()
        self.tidy()
        if self.line:
            self.line.close()


def run_client(connect, number, seed, requests):
    client = Client(connect, number, seed)
    try:
        client.run(requests)
    except Exception:  # whatever it is, it is this client's failure
        print("not ok client %d, after %d requests:" % (number, client.requests), traceback.format_exc(), flush=True)
        sys.exit(1)
    print("ok client %d: %d requests" % (number, client.requests), flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        connect = json.load(file)
    requests, clients, seed = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    all_of_them = [Process(target=run_client, args=(connect, number, seed, requests // clients)) for number in range(clients)]
    for process in all_of_them:
        process.start()
    for process in all_of_them:
        process.join()
    sys.exit(any(process.exitcode for process in all_of_them))


if __name__ == "__main__":
    main()
