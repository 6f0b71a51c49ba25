# SPDX-License-Identifier: Apache-2.0
"""Boot, power-off and the other ends of a machine, and what the command line says about mistakes."""
import os
import re
import signal
import stat
import subprocess

import pytest
import vm

pytestmark = pytest.mark.machines("pci")


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_boots_and_powers_off(scene, cpus):
    guest = scene.run("prog=hello", cpus=cpus)
    guest.expect_exit(0)
    assert guest.report("boot")["cpus"] == str(cpus)
    assert guest.report("exit")["status"] == "0"


def test_sees_the_memory_it_was_given(scene):
    guest = scene.run("prog=hello", memory="96M")
    guest.expect_exit(0)
    assert int(guest.report("boot")["ram"]) > 94 << 20


def test_memory_above_four_gigabytes(scene):
    guest = scene.run("prog=hello", memory="5G")
    guest.expect_exit(0)
    assert int(guest.report("boot")["ram"]) > 5100 << 20


def test_every_cpu_writes_memory(scene):
    guest = scene.run("prog=mem mem.size=16M mem.rate=50M time=2", cpus=4)
    guest.expect_exit(0)
    assert guest.report("mem")["errors"] == "0"


@pytest.mark.parametrize("way", ["acpi", "chipset", "keyboard"])
def test_reset_boots_again(scene, way):
    guest = scene.run(f"prog=reset reset.by={way}")
    guest.wait_line(r"^GT boot")
    again = len(guest.lines)
    guest.wait_line(r"^GT boot", after=again)
    assert guest.alive()


def test_no_reboot_ends_at_a_reset(scene):
    guest = scene.run("prog=reset", extra=["--no-reboot"])
    guest.expect_exit(0)


def test_crash_has_its_own_exit_status(scene):
    guest = scene.run("prog=panic")
    guest.expect_exit(4)
    assert "triple fault" in guest.stderr()


@pytest.mark.machines("plain", "pci")
def test_power_button_ends_the_guest(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.cli("powerdown")
    guest.wait_line(r"GT exit status=0")
    guest.expect_exit(0)


@pytest.mark.machines("plain", "pci")
def test_pause_stops_the_guest_and_resume_lets_it_go_on(scene):
    guest = scene.run("prog=heartbeat heartbeat.mode=line heartbeat.period=10000")
    guest.wait_line(r"GT heartbeat n=3\b")
    guest.cli("pause")
    assert "paused" in guest.cli("status").stdout
    before = guest.report("heartbeat")["n"]
    guest.cli("status")
    after = guest.report("heartbeat")["n"]
    assert after == before
    guest.cli("resume")
    guest.wait_line(rf"GT heartbeat n={int(after) + 5}\b")
    numbers = [int(n) for n in re.findall(r"^GT heartbeat n=(\d+)", "\n".join(guest.stdout()), re.M)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    guest.finish()


@pytest.mark.machines("plain", "pci")
def test_quit_ends_the_process(scene):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.cli("quit")
    guest.expect_exit(0)
    assert not guest.control.exists()


def test_serial_to_file(scene):
    log = scene.path / "serial.log"
    guest = scene.run("prog=hello", serial=f"file={log}")
    guest.expect_exit(0)
    assert "GT exit status=0" in log.read_text()
    assert not guest.stdout()


# ---- mistakes of the user

def godwit(*arguments):
    return subprocess.run([vm.GODWIT, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kernel", ["/nonexistent/kernel", "/dev/null"])
def test_a_kernel_that_is_none_is_named(kernel):
    done = godwit("run", "--kernel", kernel)
    assert done.returncode == 2, done.stderr
    assert kernel in done.stderr


@pytest.mark.parametrize("arguments, text", [
    (["run"], "--kernel"),
    (["run", "--kernel", vm.GUEST, "--disk", "path=x,read-only=on"], "unknown key 'read-only'"),
    (["run", "--kernel", vm.GUEST, "--memory", "1T2"], "1T2"),
    (["run", "--kernel", vm.GUEST, "--cpus", "65"], "65"),
    (["run", "--kernel", vm.GUEST, "--no-such-option"], "--no-such-option"),
    (["migrate", "--control", "/nonexistent/socket", "tcp:127.0.0.1"], "tcp:127.0.0.1"),
    (["frobnicate"], "frobnicate"),
])
@pytest.mark.no_kvm
def test_mistakes_are_named(arguments, text):
    done = godwit(*arguments)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr


def test_missing_disk_is_named():
    done = godwit("run", "--kernel", vm.GUEST, "--disk", "path=/nonexistent/disk.raw")
    assert done.returncode == 3 and "/nonexistent/disk.raw" in done.stderr


def test_impossible_tap_name_is_refused():
    done = godwit("run", "--kernel", vm.GUEST, "--net", "tap=much-too-long-for-a-name")
    assert done.returncode == 2 and "much-too-long-for-a-name" in done.stderr


@pytest.mark.machines("plain", "pci", "ccw")
def test_a_disk_in_use_is_refused(scene):
    image = scene.disk()
    first = scene.run("prog=heartbeat", disk=image)
    first.wait_line(r"^GT ready")
    second = scene.run("prog=hello", name="second", disk=image)
    second.expect_exit(3)
    assert str(image) in second.stderr() and "lock" in second.stderr()
    first.finish()


def test_truncated_kernel_is_named(scene):
    short = scene.path / "short.elf"
    short.write_bytes(open(vm.GUEST, "rb").read()[:20000])
    done = godwit("run", "--kernel", str(short))
    assert done.returncode == 2
    assert str(short) in done.stderr and "truncated" in done.stderr


@pytest.mark.no_kvm
def test_without_the_right_to_kvm_one_sentence_says_so():
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    if os.path.exists("/dev/kvm") and stat.S_IMODE(os.stat("/dev/kvm").st_mode) & 0o006:
        pytest.skip("everybody may use /dev/kvm here")
    if not os.access("/dev/kvm", os.F_OK):
        pytest.skip("there is no /dev/kvm")
    # The files are opened by root and read through descriptors: nobody may not be allowed to walk here.
    with open(vm.GODWIT, "rb") as program, open(vm.GUEST, "rb") as kernel:
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", f"/proc/self/fd/{program.fileno()}", "run",
                               "--kernel", f"/proc/self/fd/{kernel.fileno()}"], capture_output=True, text=True,
                              pass_fds=[program.fileno(), kernel.fileno()], timeout=60, check=False)
    assert done.returncode == 3
    errors = [line for line in done.stderr.splitlines() if "/dev/kvm" in line]
    assert len(errors) == 1 and "may not be opened by this user" in errors[0]


@pytest.mark.no_kvm
def test_help_names_every_subcommand():
    done = godwit("--help")
    assert done.returncode == 0
    for verb in ("run", "receive", "migrate", "status", "pause", "resume", "powerdown", "quit"):
        assert verb in done.stdout
        assert godwit(verb, "--help").returncode == 0


@pytest.mark.machines("plain", "pci")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_in_order(scene, number):
    guest = scene.run("prog=heartbeat")
    guest.wait_line(r"^GT ready")
    guest.child.send_signal(number)
    guest.expect_exit(0)
    assert not guest.control.exists()
