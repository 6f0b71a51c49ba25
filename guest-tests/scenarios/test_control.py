# SPDX-License-Identifier: Apache-2.0
"""The control socket as an independent QMP client sees it."""
import vm


def test_speaks_qmp(plain_scene):
    guest = plain_scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    control = guest.qmp()
    assert "version" in control.greeting["QMP"] and "capabilities" in control.greeting["QMP"]
    assert control.execute("query-status") == {"status": "running", "running": True, "singlestep": False}
    control.execute("stop")
    control.wait_event("STOP")
    assert control.execute("query-status")["status"] == "paused"
    control.execute("cont")
    control.wait_event("RESUME")
    assert control.execute("query-migrate") == {}
    names = {entry["name"] for entry in control.execute("query-commands")}
    assert {"stop", "cont", "migrate", "query-migrate", "migrate_cancel", "quit"} <= names
    control.execute("quit")
    guest.expect_exit(0)


def test_wrong_requests_are_answered_and_harm_nothing(plain_scene):
    guest = plain_scene.run("prog=heartbeat")
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


def test_a_client_that_floods_is_dropped_and_others_are_served(plain_scene):
    guest = plain_scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    flood = guest.qmp()
    try:
        flood.socket.sendall(b"x" * (1 << 20))
    except OSError:
        pass
    other = guest.qmp()
    assert other.execute("query-status")["running"]
    other.execute("quit")
    guest.expect_exit(0)


def test_a_second_process_cannot_take_the_socket(plain_scene):
    guest = plain_scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.wait_control()
    second = vm.Vm(plain_scene, "run", "source", ["--kernel", vm.GUEST, *plain_scene.options()])
    plain_scene.processes.append(second)
    second.expect_exit(2)
    assert "in use" in second.stderr()
    assert guest.qmp().execute("query-status")["running"]
