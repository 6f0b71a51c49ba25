# SPDX-License-Identifier: Apache-2.0
"""A migration inside of TLS: who may take part, and that strangers learn and change nothing."""
import socket
import subprocess

import pytest
import vm
from test_migration import assert_heartbeat_never_broke, heartbeats

pytestmark = pytest.mark.machines("plain")

BEAT = "prog=heartbeat heartbeat.mode=line heartbeat.period=20000"


class Authority:
    """Signs certificates with openssl(1)."""

    def __init__(self, path, name="authority"):
        self.path = path / name
        self.path.mkdir()
        self.openssl("req", "-x509", *self.new_key(self.path / "ca-key.pem"), "-days", "2", "-subj", f"/CN={name}",
                     "-out", self.path / "ca-cert.pem")

    @staticmethod
    def new_key(key):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key)]

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def folder(self, name, side, host, days=2, trusts=None):
        """A folder as --tls-certs wants it: what this authority has signed, and whom its owner trusts."""
        folder = self.path.parent / name
        folder.mkdir()
        (folder / "ca-cert.pem").write_bytes(((trusts or self).path / "ca-cert.pem").read_bytes())
        names = f"IP:{host}" if host[0].isdigit() else f"DNS:{host}"
        extensions = folder / "extensions"
        purpose = "serverAuth" if side == "server" else "clientAuth"
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={purpose}\n")
        self.openssl("req", "-new", *self.new_key(folder / f"{side}-key.pem"), "-subj", f"/CN={host}", "-out",
                     folder / "request")
        self.openssl("x509", "-req", "-in", folder / "request", "-CA", self.path / "ca-cert.pem", "-CAkey",
                     self.path / "ca-key.pem", "-CAcreateserial", "-days", days, "-extfile", extensions, "-out",
                     folder / f"{side}-cert.pem")
        return folder


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def key_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def pair(scene, address, receive, **parts):
    destination = scene.receive(address=address, extra=receive, **parts)
    source = scene.run(BEAT, **parts)
    source.wait_line(r"GT heartbeat n=3\b")
    return source, destination


def moves(source, destination, *options):
    source.cli("migrate", *options, destination.address)
    source.expect_exit(0)
    destination.finish()
    assert_heartbeat_never_broke(source, destination)


def refused(source, destination, *options, reason):
    done = source.cli("migrate", *options, destination.address, check=False)
    assert done.returncode == 5, done.stderr
    assert reason in done.stderr, done.stderr
    last = heartbeats(source)[-1]
    source.wait_line(rf"GT heartbeat n={last + 3}\b")
    assert destination.alive(), "a stranger must not end the receiver"


@pytest.mark.machines("plain", "pci")
def test_certificates_on_both_sides(scene, tcp_address, authority):
    here = authority.folder("here", "client", "source.example")
    there = authority.folder("there", "server", "127.0.0.1")
    source, destination = pair(scene, tcp_address, ["--tls-certs", there, "--tls-peer", "source.example"])
    moves(source, destination, "--tls-certs", here)


def test_a_destination_by_another_name(scene, tcp_address, authority):
    here = authority.folder("here", "client", "source.example")
    there = authority.folder("there", "server", "host.example")
    source, destination = pair(scene, tcp_address, ["--tls-certs", there])
    refused(source, destination, "--tls-certs", here, reason="is not for '127.0.0.1'")
    moves(source, destination, "--tls-certs", here, "--tls-hostname", "host.example")


def test_a_destination_that_another_authority_has_signed(scene, tcp_address, authority, tmp_path):
    impostor = Authority(tmp_path, "impostor")
    here = authority.folder("here", "client", "source.example")
    there = impostor.folder("there", "server", "127.0.0.1", trusts=authority)
    source, destination = pair(scene, tcp_address, ["--tls-certs", there])
    refused(source, destination, "--tls-certs", here, reason="not believed")


@pytest.mark.parametrize("who", ["signed_by_another", "another_name", "without_tls"])
def test_a_source_that_is_not_believed(scene, tcp_address, authority, tmp_path, who):
    there = authority.folder("there", "server", "127.0.0.1")
    signer = Authority(tmp_path, "impostor") if who == "signed_by_another" else authority
    name = "mallory.example" if who == "another_name" else "source.example"
    here = signer.folder("here", "client", name, trusts=authority)
    source, destination = pair(scene, tcp_address, ["--tls-certs", there, "--tls-peer", "source.example"])
    options = [] if who == "without_tls" else ["--tls-certs", here]
    refused(source, destination, *options, reason="")
    good = authority.folder("good", "client", "source.example")
    moves(source, destination, "--tls-certs", good)


def test_a_shared_key(scene, tcp_address, tmp_path):
    key = key_file(tmp_path / "keys", "alice:00112233445566778899aabbccddeeff\n")
    wrong = key_file(tmp_path / "wrong", "alice:ff112233445566778899aabbccddeeff\n")
    source, destination = pair(scene, tcp_address, ["--tls-psk", key])
    refused(source, destination, "--tls-psk", wrong, reason="TLS")
    refused(source, destination, reason="")
    moves(source, destination, "--tls-psk", key)


def test_connections_inside_of_tls(scene, tcp_address, tmp_path):
    key = key_file(tmp_path / "keys", "alice:00112233445566778899aabbccddeeff\n")
    source, destination = pair(scene, tcp_address, ["--tls-psk", key])
    moves(source, destination, "--tls-psk", key, "--connections", "3", "--verify")


def test_a_stranger_does_not_hold_up_the_door(scene, tcp_address, tmp_path):
    key = key_file(tmp_path / "keys", "alice:00112233445566778899aabbccddeeff\n")
    source, destination = pair(scene, tcp_address, ["--tls-psk", key])
    host, port = tcp_address.removeprefix("tcp:").rsplit(":", 1)
    silent = [socket.create_connection((host, int(port))) for _ in range(4)]
    with socket.create_connection((host, int(port))) as rude:
        rude.sendall(b"GDWT" + b"\x01" * 1000)
    moves(source, destination, "--tls-psk", key)
    for one in silent:
        one.close()


def test_keys_that_others_may_read_are_not_used(scene, tcp_address, tmp_path):
    key = key_file(tmp_path / "keys", "alice:00112233445566778899aabbccddeeff\n")
    key.chmod(0o644)
    process = vm.Process([scene.program, "receive", tcp_address, "--memory", "64M", "--tls-psk", str(key)])
    process.expect_exit(2)
    assert str(key) in process.stderr()


@pytest.mark.parametrize("address", ["tcp:0.0.0.0:0", "tcp::0"])
def test_listening_in_the_open_must_be_asked_for(scene, address):
    process = vm.Process([scene.program, "receive", address, "--memory", "64M"])
    process.expect_exit(2)
    assert "--insecure" in process.stderr()
    allowed = vm.Process([scene.program, "receive", address, "--memory", "64M", "--insecure"])
    scene.processes.append(allowed)
    allowed.wait_stderr("waiting for a migration")
