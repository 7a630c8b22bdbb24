"""Callers that never stop asking, for tests that restart the agent under them. Run as one user; on end of standard input it
prints one JSON line: what was answered how often, and every request that was lost, with why.

usage: steady-callers.py NAME IMDS_STATUS WIRESERVER_STATUS   the statuses this user must always get
"""
import http.client
import json
import sys
import threading
import time

NAME, IMDS_STATUS, WIRESERVER_STATUS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
IMDS = ("169.254.169.254", 80, "/metadata/instance?api-version=2021-02-01&caller=" + NAME, IMDS_STATUS)
WIRESERVER = ("168.63.129.16", 80, "/machine?comp=goalstate", WIRESERVER_STATUS)
HEADERS = {"Metadata": "true", "x-ms-version": "2012-11-30"}
LIMIT_S = 20
PAUSE_S = 0.004

over = threading.Event()
lock = threading.Lock()
counts = {}
lost = []
longest = [0.0]


def count(kind):
    with lock:
        counts[kind] = counts.get(kind, 0) + 1


def lose(kind, why):
    with lock:
        lost.append([round(time.time() * 1000), kind, why])


def ask(connection, target):
    connection.request("GET", target, headers=HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer


def judge(kind, answer, want, began):
    longest[0] = max(longest[0], time.monotonic() - began)
    if answer.status != want:
        lose(kind, "answered %d, want %d" % (answer.status, want))
    else:
        count(kind)


def anew(address, port, target, want):
    """Each request on a connection of its own."""
    while not over.is_set():
        connection = http.client.HTTPConnection(address, port, timeout=LIMIT_S)
        began = time.monotonic()
        try:
            judge("new", ask(connection, target), want, began)
        except Exception as error:
            lose("new", repr(error))
        connection.close()
        time.sleep(PAUSE_S)


def kept(address, port, target, want):
    """Requests on one connection for as long as it lasts. One that was closed while idle is no loss, if the next one works."""
    connection, used = None, False
    while not over.is_set():
        if connection is None:
            connection, used = http.client.HTTPConnection(address, port, timeout=LIMIT_S), False
        began = time.monotonic()
        try:
            answer = ask(connection, target)
            judge("kept", answer, want, began)
            used = True
            if answer.will_close:
                connection.close()
                connection = None
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            connection.close()
            connection = None
            if used:
                count("closed-while-idle")
            else:
                lose("kept", repr(error))
        except Exception as error:
            lose("kept", repr(error))
            connection.close()
            connection = None
        time.sleep(PAUSE_S)


work = [(anew, IMDS), (anew, IMDS), (anew, WIRESERVER), (kept, IMDS), (kept, WIRESERVER)]
threads = [threading.Thread(target=kind, args=where) for kind, where in work]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps({"counts": counts, "lost": lost[:20], "lostCount": len(lost), "longestMs": round(longest[0] * 1000)}))
