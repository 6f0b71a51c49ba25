# SPDX-License-Identifier: Apache-2.0
"""The control socket as an independent QMP client sees it."""
import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest
import vm

pytestmark = pytest.mark.machines("plain")


@pytest.mark.machines("plain", "pci")
def test_speaks_qmp(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    control = guest.qmp()
    assert "version" in control.greeting["QMP"] and "capabilities" in control.greeting["QMP"]
    assert control.execute("query-status") == {"status": "running", "running": True, "singlestep": False}
    control.execute("stop")
    control.wait_event("STOP")
    assert control.execute("query-status")["status"] == "paused"
    control.execute("cont")
    control.wait_event("RESUME")
    assert control.execute("query-migrate") == {"owner": "here"}
    names = {entry["name"] for entry in control.execute("query-commands")}
    assert {"stop", "cont", "migrate", "query-migrate", "migrate_cancel", "quit"} <= names
    control.execute("quit")
    guest.expect_exit(0)


def test_wrong_requests_are_answered_and_harm_nothing(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    control = guest.qmp()
    for request, error_class in ((b"nonsense\n", "GenericError"), (b"[1]\n", "GenericError"),
                                 (b'{"execute": 7}\n', "GenericError"),
                                 (b'{"execute": "no-such-command", "id": 5}\n', "CommandNotFound"),
                                 (b'{"execute": "migrate", "arguments": {"url": "tcp:a:1"}}\n', "GenericError"),
                                 (b'{"execute": "migrate", "arguments": {"uri": "http:a"}}\n', "GenericError"),
                                 (b'{"execute": "stop", "arguments": []}\n', "GenericError")):
        answer = control.raw(request)
        assert answer["error"]["class"] == error_class, answer
        if b'"id"' in request:
            assert answer["id"] == 5
    assert control.execute("query-status")["running"]
    guest.cli("quit")


def told(guest, request, ends=True, rest=0):
    """What a client hears that says this and, if it `ends`, shuts down its writing side: until the server closes. It does
    not read for the first `rest` seconds."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(vm.PATIENCE)
        client.connect(str(guest.control))
        client.sendall(request)
        if ends:
            client.shutdown(socket.SHUT_WR)
        time.sleep(rest)
        heard = []
        with contextlib.suppress(ConnectionResetError), client.makefile("r") as answers:  # of what was sent too much
            for line in answers:
                heard.append(json.loads(line))
    return heard[1:]


LIMIT = ["--downtime-limit", "60000"]  # a busy host is not what these are about
NEGOTIATE = b'{"execute":"qmp_capabilities"}'
RUNNING = {"return": {"status": "running", "running": True, "singlestep": False}}


@pytest.mark.parametrize("text", [
    NEGOTIATE + b'{"execute":"query-status"}', NEGOTIATE + b'{"execute":"query-status"}\n',
    NEGOTIATE + b'\n{\n  "execute":\n  "query-status"\n}\n', b" \r\n\t" + NEGOTIATE + b'\r\n\r\n{"execute" : "query-status"} '],
    ids=["one-line", "one-line-that-ends", "indented", "blanks"])
def test_a_request_ends_where_its_json_ends(scene, text):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    for _ in range(20):
        assert told(guest, text) == [{"return": {}}, RUNNING]
    guest.cli("quit")


def test_requests_are_dealt_with_one_after_the_other(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    talk = [{"execute": command, "id": id} for id, command in enumerate(("stop", "query-status", "cont", "query-status"))]
    heard = told(guest, NEGOTIATE + b"".join(json.dumps(request).encode() for request in talk))
    answers = [one for one in heard if "event" not in one][1:]
    assert [one["id"] for one in answers] == [0, 1, 2, 3]
    assert [one["return"].get("status") for one in answers] == [None, "paused", None, "running"]
    # More than a socket holds, for a client that begins to read late; the end comes behind all of them.
    many = told(guest, NEGOTIATE + 5000 * b'{"execute":"query-status"}' + b'{"execute":"quit"}', rest=0.3)
    assert many.count(RUNNING) == 5000 and many[-1] == {"return": {}}
    guest.expect_exit(0)


def test_who_asks_and_leaves_is_served_all_the_same(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.wait_control()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(guest.control))
        client.sendall(NEGOTIATE + 1000 * b'{"execute":"query-status"}' + b'{"execute":"quit"}')
    guest.expect_exit(0)


def test_an_id_comes_back_as_it_was(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    ids = [None, 7, "text", {"a": [1]}, [], 1.5, False]
    heard = told(guest, NEGOTIATE + b"".join(json.dumps({"execute": "query-name", "id": id}).encode() for id in ids))
    assert [one["id"] for one in heard[1:]] == ids
    assert "id" not in heard[0]
    guest.cli("quit")


@pytest.mark.parametrize("request_text, error_class, ends", [
    (b'{"execute":"qmp_capabilities"}', "CommandNotFound", True),  # once is enough
    (b'{"execute":"query-sta', "GenericError", True),
    (b"[" * 2000, "GenericError", False),
    (b'{"execute":"' + b"x" * 70000, "GenericError", False),
], ids=["negotiated-twice", "cut-off", "too-deep", "too-long"])
def test_a_wrong_request_is_answered_before_the_end(scene, request_text, error_class, ends):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    heard = told(guest, NEGOTIATE + request_text, ends)
    assert [one.get("error", {}).get("class") for one in heard] == [None, error_class]
    assert told(guest, NEGOTIATE + b'{"execute":"query-status"}')[-1] == RUNNING
    guest.cli("quit")


def test_nothing_that_qemu_offers_can_be_enabled(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    enable = '{"execute":"qmp_capabilities","arguments":{"enable":%s}}'
    assert told(guest, (enable % "[]").encode()) == [{"return": {}}]
    heard = told(guest, (enable % '["oob"]').encode() + b'{"execute":"query-status"}')
    assert "oob" in heard[0]["error"]["desc"] and heard[1]["error"]["class"] == "CommandNotFound"
    guest.cli("quit")


def test_what_qemus_clients_send_besides(scene):
    """Every capability, most of them off; and arguments of `migrate` that mean nothing here."""
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    there = scene.receive()
    control = guest.qmp()
    known = control.execute("query-migrate-capabilities")
    control.execute("migrate-set-capabilities", capabilities=[
        {"capability": one["capability"], "state": one["capability"] in ("events", "return-path", "multifd")} for one in known])
    assert control.execute("query-migrate-parameters")["multifd-channels"] == 2
    with pytest.raises(vm.Failed, match="postcopy-ram"):
        control.execute("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": True}])
    with pytest.raises(vm.Failed, match="'blk'"):
        control.execute("migrate", uri=there.address, blk=True)
    control.execute("migrate", uri=there.address, detach=True, blk=False, inc=False, resume=False)
    guest.expect_exit(0)
    there.wait_line(r"^GT heartbeat")
    there.cli("quit")


def test_a_successors_socket_stays(scene):
    """Somebody has removed the file, and another process has put its own there."""
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    control = guest.qmp()
    pathlib.Path(guest.control).unlink()
    successor = scene.run("prog=heartbeat", name="source")
    successor.wait_line(r"^GT ready")
    successor.wait_control()
    control.execute("quit")
    guest.expect_exit(0)
    assert told(successor, NEGOTIATE + b'{"execute":"query-status"}')[-1] == RUNNING
    successor.cli("quit")


def test_a_client_that_floods_is_dropped_and_others_are_served(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    flood = guest.qmp()
    with pytest.raises(ConnectionError):
        flood.socket.sendall(b"x" * (1 << 20))
    other = guest.qmp()
    assert other.execute("query-status")["running"]
    other.execute("quit")
    guest.expect_exit(0)


CLIENTS = 16  # kMaxClients of vmm/control/qmp_server.cc


def test_a_seventeenth_client_is_refused_until_one_leaves(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    clients = [guest.qmp() for _ in range(CLIENTS)]
    for _ in range(20):  # as often as somebody likes, and the log has a few lines of it
        with vm.connect(guest.control) as refused:
            refused.settimeout(vm.PATIENCE)
            assert refused.recv(1) == b""
    assert 1 <= guest.stderr().count("more than 16 clients") <= 5
    assert all(client.execute("query-status")["running"] for client in clients)
    clients.pop().close()
    deadline = time.monotonic() + vm.PATIENCE
    while True:
        with vm.connect(guest.control) as again:
            again.settimeout(vm.PATIENCE)
            if again.recv(1):
                break
        assert time.monotonic() < deadline
    clients[0].execute("quit")
    guest.expect_exit(0)


def test_a_client_that_reads_no_events_is_dropped(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    deaf, busy = guest.qmp(), guest.qmp()
    deaf.socket.setblocking(False)
    hung_up = select.poll()
    hung_up.register(deaf.socket, select.POLLHUP)
    for _ in range(40_000):  # two events each, of about 80 bytes: 1 MiB, and what a socket holds
        busy.execute("stop")
        busy.execute("cont")
        busy.events.clear()
        if hung_up.poll(0):
            break
    else:
        raise AssertionError("it is kept, however much waits for it")
    assert "a client does not read its answers and is dropped" in guest.stderr()
    busy.execute("quit")
    guest.expect_exit(0)


def test_a_second_process_cannot_take_the_socket(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.wait_control()
    second = vm.Vm(scene, "run", "source", ["--kernel", vm.GUEST, *scene.options()])
    scene.processes.append(second)
    second.expect_exit(2)
    assert "in use" in second.stderr()
    assert guest.qmp().execute("query-status")["running"]


@pytest.mark.no_kvm
@pytest.mark.parametrize("program", [vm.GODWIT, vm.PLAIN], ids=["godwit", "plain"])
@pytest.mark.parametrize("words, says", [
    (["run", "--kernel", ""], "--kernel: the value is empty"), (["run", "--cmdline=a=", "--kernel="], "--kernel: the value is empty"),
    (["run", "--cmdline", "", "--kernel", "k", "--control", ""], "--control: the value is empty"),
    (["receive", ""], "argument 2 is empty"), (["restore", ""], "argument 2 is empty"),
    (["migrate", "--control", "s", ""], "argument 4 is empty"), ([""], "argument 1 is empty")])
def test_a_word_that_a_script_left_empty_is_named(program, words, says):
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=vm.PATIENCE)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"godwit: {says}\n", "")


@pytest.mark.no_kvm
def test_an_empty_command_line_is_none_of_them(tmp_path):
    done = subprocess.run([vm.PLAIN, "run", "--cmdline", "", "--kernel", "built-in", "--control", str(tmp_path / "none/s")],
                          capture_output=True, text=True, check=False, timeout=vm.PATIENCE)
    assert done.returncode == 2 and "none/s': No such file or directory" in done.stderr


@pytest.mark.no_kvm
def test_migrate_takes_no_earlier_end_for_its_own(tmp_path):
    """Whoever saw in query-migrate that one has failed may ask for the next before the event of the first is out."""
    def migration(**data):
        return {"event": "MIGRATION", "data": data}
    said = [[{"QMP": {}}], [{"return": {}}],
            [migration(status="failed", **{"error-desc": "of the first"}), migration(status="setup"), {"return": {}},
             migration(status="completed", transferred=5_000_000)]]
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        client = subprocess.Popen([vm.GODWIT, "migrate", "--control", path, "tcp:127.0.0.1:1"],
                                  stdout=subprocess.PIPE, text=True)
        connection, _ = server.accept()
        with connection, connection.makefile("r") as requests:
            for number, messages in enumerate(said):
                assert number == 0 or requests.readline()
                connection.sendall("".join(json.dumps(message) + "\n" for message in messages).encode())
            printed, _ = client.communicate(timeout=vm.PATIENCE)
    assert client.returncode == 0 and "migrated: 5.0 MB" in printed


def test_migration_parameters_are_one_table(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    control = guest.qmp()
    before = control.execute("query-migrate-parameters")
    assert before["downtime-limit"] == 300
    shown = guest.cli("tune").stdout
    assert all(name in shown for name in before)
    guest.cli("tune", "downtime-limit=450")
    assert control.execute("query-migrate-parameters") == before | {"downtime-limit": 450}
    for wrong, words in (("downtime-limit=0", ["downtime-limit", "0", "1 to 2000000 ms"]),
                         ("downtime-limit=fast", ["downtime-limit", "'fast'", "1 to 2000000 ms"]),
                         ("downtime-limit", ["KEY=VALUE"]), ("speed=1", ["'speed'", "downtime-limit"])):
        done = guest.cli("tune", wrong, check=False)
        assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr
    # What is given with a migration is judged by the same table, and does not stay.
    done = guest.cli("migrate", "--downtime-limit", "2000001", "tcp:127.0.0.1:1", check=False)
    assert done.returncode == 2 and "downtime-limit" in done.stderr and "2000001" in done.stderr
    done = guest.cli("migrate", "--downtime-limit", "7", "tcp:127.0.0.1:1", check=False)
    assert done.returncode == 5
    assert control.execute("query-migrate-parameters")["downtime-limit"] == 450
    guest.cli("quit")


def test_a_source_can_be_asked_after_the_move(scene):
    """Who polls, as QEMU's clients do, sees how it ended; until `quit`, and nothing makes the guest run here again."""
    guest = scene.run("prog=heartbeat,disk disk.span=1M", disk=(image := scene.disk(size=2 << 20)))
    guest.wait_line(r"^GT heartbeat")
    there = scene.receive(disk=image)
    guest.cli("migrate", "--detach", there.address)
    there.wait_line(r"^GT heartbeat")
    control = guest.qmp()
    while control.execute("query-migrate")["status"] == "device":
        pass
    ended = control.execute("query-migrate")
    assert ended["status"] == "completed" and ended["owner"] == "destination" and ended["downtime"] >= 0
    assert control.execute("query-status") == {"status": "postmigrate", "running": False, "singlestep": False}
    said = guest.status()
    assert "postmigrate" in said and f"stood still for {ended['downtime']} ms" in said
    for request in ("cont", "stop", "system_reset"):
        with pytest.raises(vm.Failed, match="handed over|no guest here"):
            control.execute(request)
    with pytest.raises(vm.Failed, match="no guest here"):
        control.execute("migrate", uri=there.address)
    control.execute("quit")
    guest.expect_exit(0)
    there.finish()
    assert there.report("disk")["errors"] == "0"


def test_cancel_from_the_command_line(scene):
    guest = scene.run("prog=heartbeat,mem mem.size=4M mem.rate=40M")
    guest.wait_line(r"^GT ready")
    assert "no migration is under way" in guest.cli("cancel", check=False).stderr
    there = scene.receive()
    guest.cli("migrate", "--detach", "--max-bandwidth", "1M", there.address)
    guest.cli("cancel")
    assert "outgoing migration: cancelled" in guest.status() and "running\n" in guest.status()
    assert guest.cli("cancel", check=False).returncode == 2
    guest.cli("migrate", there.address)
    guest.expect_exit(0)
    there.cli("quit")


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_cancels(scene, times):
    guest = scene.run("prog=heartbeat,mem mem.size=4M mem.rate=40M")
    guest.wait_line(r"^GT ready")
    there = scene.receive()
    control = guest.qmp()
    with subprocess.Popen([vm.PLAIN, "migrate", "--control", guest.control, "--max-bandwidth", "1M", there.address],
                          stderr=subprocess.PIPE, text=True) as client:
        while control.execute("query-migrate").get("status") != "active":
            pass
        if times == 1:
            client.send_signal(signal.SIGINT)
            assert client.wait(vm.PATIENCE) == 8 and "cancelling" in client.stderr.read()
            assert control.execute("query-migrate")["status"] == "cancelled"
        else:
            os.kill(guest.child.pid, signal.SIGSTOP)  # so that it does not end between the two
            client.send_signal(signal.SIGINT)
            wait_until_default(client.pid, signal.SIGINT)
            client.send_signal(signal.SIGINT)
            assert client.wait(vm.PATIENCE) == -signal.SIGINT
            os.kill(guest.child.pid, signal.SIGCONT)
    assert control.execute("query-status")["running"]
    guest.cli("quit")


def wait_until_default(pid, number):
    """Until the process has no handler for that signal any more."""
    while True:
        caught = re.search(r"^SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]
        if not int(caught, 16) >> (number - 1) & 1:
            return


@pytest.mark.machines("plain")
def test_who_asks_until_the_process_is_gone_is_no_harm_to_its_end(scene):
    """A client that polls meets every moment of the end, also those at which parts of the machine are gone already."""
    asked = b'{"execute":"query-status"}{"execute":"query-migrate"}{"execute":"query-chardev"}{"execute":"query-name"}\n'

    def poll(client):
        with contextlib.suppress(OSError):
            client.sendall(NEGOTIATE)
            while client.recv(1 << 16):
                client.sendall(asked)

    for number in range(15):
        guest = scene.run("prog=heartbeat", name=f"guest-{number}")
        guest.wait_line(r"^GT ready")
        guest.wait_control()
        clients = [vm.connect(guest.control) for _ in range(8)]
        pollers = [threading.Thread(target=poll, args=(client,)) for client in clients]
        for one in pollers:
            one.start()
        time.sleep(0.01)
        guest.child.terminate()
        guest.expect_exit(0)
        for one in pollers:
            one.join()
        for client in clients:
            client.close()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
def test_signals_end_a_machine_in_order(scene, name):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.wait_control()
    os.kill(guest.child.pid, getattr(signal, name))
    guest.expect_exit(0)
    assert not pathlib.Path(guest.control).exists()


def test_what_is_ignored_from_the_start_stays_so(scene):
    """As nohup and a script's background have it."""
    control = str(scene.path / "ignores.sock")
    with subprocess.Popen(["sh", "-c", 'trap "" HUP INT QUIT; exec "$@"', "sh", vm.PLAIN, "run", "--control", control, "--kernel", "built-in",
                           "--cmdline", "prog=heartbeat", *scene.options(serial="null")]) as guest:
        try:
            while not os.path.exists(control):
                assert guest.poll() is None
            operator = vm.Qmp(control)
            while not operator.execute("query-status")["running"]:
                assert guest.poll() is None
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
                guest.send_signal(number)
            assert operator.execute("query-status")["running"]
            guest.send_signal(signal.SIGTERM)
            assert guest.wait(vm.PATIENCE) == 0
        finally:
            guest.kill()


def test_a_pty_says_which(scene):
    guest = scene.run("prog=heartbeat", serial="pty")
    guest.wait_stderr(r"the serial port is pty /dev/pts/\d+")
    file = re.search(r"the serial port is pty (\S+)", guest.stderr())[1]
    assert f"serial: pty:{file}\n" in guest.status()
    assert guest.qmp().execute("query-chardev") == [{"label": "serial0", "filename": f"pty:{file}", "frontend-open": True}]
    with open(file, "rb", buffering=0) as terminal:
        assert b"GT " in terminal.read(4096)
    guest.cli("quit")


def moving_slowly(scene, options=(), receive=()):
    """A guest on its way, its receiver, and a client that follows."""
    guest = scene.run("prog=mem,heartbeat mem.size=4M mem.rate=40M heartbeat.mode=line")
    guest.wait_line(r"^GT heartbeat n=2\b")
    there = scene.receive(extra=receive)
    control = guest.qmp()
    control.execute("migrate-set-parameters", max_bandwidth=64 << 10)
    client = vm.Process([guest.program, "migrate", "--control", str(guest.control), *LIMIT, *options, there.address])
    scene.processes.append(client)
    while control.execute("query-migrate").get("status") != "active":
        pass
    return guest, there, control, client


@pytest.mark.machines("plain", "pci")
@pytest.mark.parametrize("waits", [False, True])
def test_a_guest_that_powers_off_while_it_moves_ends_both_sides(scene, waits):
    guest, there, control, client = moving_slowly(scene, receive=["--on-power-off", "wait"] if waits else [])
    guest.send(b"q")  # it ends when it has verified its memory
    event = control.wait_event("MIGRATION")
    while event["data"]["status"] in ("setup", "active", "device"):
        event = control.wait_event("MIGRATION")
    assert event["data"]["error-desc"] == "source: the guest has powered itself off" and event["data"]["exit-status"] == 9
    assert control.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
    guest.expect_exit(0)
    client.expect_exit(9)
    assert client.stderr().endswith("source: the guest has powered itself off")
    if waits:
        there.wait_stderr("waiting for a migration again")
        assert there.alive()
    else:
        there.expect_exit(9)
    assert "the migration to here failed: source: the guest has powered itself off" in there.stderr()


@pytest.mark.machines("plain", "pci")
def test_a_reset_may_end_the_migration(scene):
    guest, there, control, client = moving_slowly(scene, options=["--on-reset", "cancel"])
    control.execute("system_reset")
    client.expect_exit(8)
    assert "the guest was reset" in client.stderr()
    guest.wait_line(r"^GT heartbeat n=2\b", after=len(guest.stdout()))
    assert control.execute("query-status")["status"] == "running"
    there.wait_stderr("waiting for a migration again")
    control.execute("migrate-set-parameters", max_bandwidth=0)
    guest.cli("migrate", *LIMIT, there.address)
    there.finish()


@pytest.mark.machines("plain", "pci")
def test_a_guest_that_is_reset_while_it_moves_is_moved_all_the_same(scene):
    """Who follows the migration hears of no failure."""
    guest, there, control, client = moving_slowly(scene)
    for _ in range(2):
        control.execute("system_reset")
        guest.wait_line(r"^GT heartbeat n=2\b", after=len(guest.stdout()))
    control.execute("migrate-set-parameters", max_bandwidth=0)
    client.expect_exit(0)
    assert "migrated:" in "\n".join(client.stdout())
    guest.expect_exit(0)
    assert guest.stderr().count("its migration begins again") == 2
    there.finish()
    assert there.report("mem")["errors"] == "0"
