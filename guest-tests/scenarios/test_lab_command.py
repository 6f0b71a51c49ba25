# SPDX-License-Identifier: Apache-2.0
"""tools/lab as a person and as a script use it: statuses, outputs, limits, what is left behind, and what it says when it cannot."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import debian
import fleet
import pytest

LAB = pathlib.Path(__file__).resolve().parents[2] / "tools/lab"
PATIENCE = 300


def lab(*words, env=None, **options):
    return subprocess.run([LAB, *words], capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env={**os.environ, **(env or {})}, **options)


def children(pid):
    """Everything that the process has started and that still runs."""
    found = [int(child) for task in os.listdir(f"/proc/{pid}/task")
             for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def one_sentence(done):
    assert done.returncode == 3, done
    assert done.stdout == "" and done.stderr.startswith("lab: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# ---- what is missing

@pytest.mark.no_kvm
def test_without_qemu(tmp_path):
    for program in ("sh", "dirname"):
        os.symlink(shutil.which(program), tmp_path / program)
    assert "qemu-system-x86" in one_sentence(lab("run", "--", "true", env={"PATH": str(tmp_path)}))


@pytest.mark.no_kvm
def test_without_the_kernels_package(tmp_path):
    (tmp_path / "apt.conf").write_text('Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "/dev/null";\n')
    said = one_sentence(lab("run", "--", "true", env={"APT_CONFIG": str(tmp_path / "apt.conf"), "XDG_CACHE_HOME": str(tmp_path / "c")}))
    assert "linux-image-amd64" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "apt.conf"]


@pytest.mark.no_kvm
def test_with_too_little_memory():
    assert "MiB are free" in one_sentence(lab("run", "--memory", "1000000", "--", "true"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a full file system")
@pytest.mark.no_kvm
def test_on_a_full_disk(tmp_path):
    script = f'mount -t tmpfs -o size=1m none {tmp_path} && XDG_CACHE_HOME={tmp_path} {LAB} run -- true; s=$?; find {tmp_path} -type f; exit $s'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "MiB left" in one_sentence(done)


@pytest.mark.parametrize("words", [["run", "--hosts", "0", "--", "true"], ["run"], ["run", "--memory", "64", "--", "true"],
                                   ["run", "--cpus", "99", "--", "true"], ["no-such-verb"]])
@pytest.mark.no_kvm
def test_wrong_usage(words):
    done = lab(*words)
    assert done.returncode == 2 and done.stderr


@pytest.mark.no_kvm
def test_no_lab_is_up():
    assert "no lab of yours is up" in one_sentence(lab("exec", "alpha", "--", "true", env={}))


# ---- a host

@pytest.mark.fleet
def test_outputs_and_status_of_a_command():
    done = lab("run", "--", "sh", "-c", "ls /dev/kvm; echo said >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "/dev/kvm\n", "said\n")


@pytest.mark.fleet
def test_a_command_that_takes_too_long():
    done = lab("run", "--timeout", "1", "--", "sh", "-c", "echo began; sleep 1000")
    assert done.returncode == 124 and done.stdout == "began\n" and "longer than 1 s" in done.stderr


@pytest.mark.fleet
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_unprivileged_user_has_hosts_too():
    if any(not folder.stat().st_mode & 0o001 for folder in LAB.parents):
        pytest.skip("another user cannot read where this tree is")
    kernel = debian.kernel("generic")
    with tempfile.TemporaryDirectory() as cache:  # a copy that others can read
        os.chmod(cache, 0o755)
        shutil.copytree(kernel, pathlib.Path(cache) / kernel.relative_to(debian.CACHE.parent))
        done = lab("run", "--", "id", "-u", preexec_fn=lambda: (os.setgid(65534), os.setuid(65534)), env={"XDG_CACHE_HOME": cache})
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.fleet
def test_a_lab_that_is_up(tmp_path):
    """Commands from elsewhere, files that both hosts see, the LAN, the plug; and nothing is left of a lab that was killed."""
    up = subprocess.Popen([LAB, "up", "--hosts", "2", "--memory", "768", "--share", tmp_path], stderr=subprocess.PIPE, text=True)
    try:
        for line in up.stderr:
            if "ends it" in line:
                break
        assert up.poll() is None
        assert lab("exec", "alpha", "--", "sh", "-c", f"hostname; echo kept > {tmp_path}/file").stdout == "alpha\n"
        assert lab("exec", "beta", "--", "cat", f"{tmp_path}/file").stdout == "kept\n" == (tmp_path / "file").read_text()
        assert lab("exec", "alpha", "--", "cat", input="typed").stdout == "typed"
        together = [subprocess.Popen([LAB, "exec", "alpha", "--", "sh", "-c", f"echo {n}; exit {n}"], stdout=subprocess.PIPE, text=True)
                    for n in range(4)]
        assert [(p.communicate(timeout=PATIENCE)[0], p.returncode) for p in together] == [(f"{n}\n", n) for n in range(4)]
        assert lab("exec", "alpha", "--", "ping", "-c", "1", "-w", "20", "beta").returncode == 0
        assert lab("cut", "beta", "alpha").returncode == 0
        assert lab("exec", "alpha", "--", "ping", "-c", "1", "-w", "3", "beta").returncode != 0
        assert lab("heal").returncode == 0
        assert lab("exec", "alpha", "--", "ping", "-c", "1", "-w", "20", "beta").returncode == 0
        sleeper = subprocess.Popen([LAB, "exec", "beta", "--", "sleep", "1000"])
        time.sleep(1)
        assert lab("power-off", "beta").returncode == 0
        assert sleeper.wait(PATIENCE) == 137
        shown = lab("status").stdout
        assert [line.split()[0] + " " + line.split()[-1] for line in shown.splitlines()] == ["alpha on", "beta off"], shown
        assert lab("exec", "gamma", "--", "true").returncode == 2
        assert lab("up").returncode == 2
    finally:
        started = children(up.pid)
        up.send_signal(signal.SIGKILL)
        up.wait()
    assert len(started) >= 2, "the switch and a host"
    deadline = time.monotonic() + PATIENCE
    while left := [pid for pid in started if os.path.exists(f"/proc/{pid}")]:
        assert time.monotonic() < deadline, f"processes are left: {left}"
        time.sleep(0.05)
    assert lab("status").returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.fleet
def test_a_command_whose_host_dies_is_the_hosts_failure():
    with fleet.Fleet([fleet.HostSpec("host", memory=512)], lan=False).wait_ready() as hosts:
        threading.Timer(1, hosts["host"].process.kill).start()
        with pytest.raises(fleet.HostFailed, match="^host host failed"):
            hosts["host"].run(["sleep", "60"])
