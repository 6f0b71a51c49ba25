# SPDX-License-Identifier: Apache-2.0
"""What a host boots: an initramfs that makes this machine's files the host's, and starts the agent in them.

The host reads this machine's files through 9p; what it writes goes to an overlay in its memory and is gone with it. Folders
that are shared are the same on all hosts and here.
"""
import pathlib
import stat

from cpio import Cpio

BUSYBOX = pathlib.Path("/bin/busybox")
# Loaded at start, in this order with what they need; and those that `Host.load` loads when somebody wants them.
DRIVERS = ["virtio_pci", "virtio_console", "virtio_net", "9p", "9pnet_virtio", "overlay", "kvm_amd", "tun", "bridge",
           "veth"]
MORE_DRIVERS = ["loop", "virtio_blk", "dm_thin_pool", "dm_flakey", "scsi_debug", "sch_netem"]

INIT = """#!/bin/busybox sh
exec 2>&1
b=/bin/busybox
$b mount -t proc none /proc; $b mount -t sysfs none /sys; $b mount -t devtmpfs none /dev
for module in /modules/*; do $b insmod $module || echo "lab: $module is not loaded"; done
share="-t 9p -o trans=virtio,version=9p2000.L,msize=524288"
$b mount $share,ro,cache=loose files /lower && $b mount -t tmpfs -o size=75% none /upper &&
    $b mkdir /upper/files /upper/work /upper/files/run &&
    $b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work none /root || $b poweroff -f
for folder in proc sys dev; do $b mount -o bind /$folder /root/$folder; done
$b mount -t tmpfs none /root/run
$b mkdir -p /root/dev/shm /root/dev/pts /root/run/netns
$b mount -t tmpfs none /root/dev/shm; $b mount -t devpts -o ptmxmode=666 none /root/dev/pts
$b rm -f /root/dev/ptmx; $b ln -s pts/ptmx /root/dev/ptmx
for n in $($b seq 0 $(($($b wc -l < /shares) - 1))); do
    path=$($b sed -n "$((n + 1))p" /shares)
    $b mkdir -p "/root$path" && $b mount $share,cache=none,access=any share$n "/root$path"
done
$b cp /hosts /root/etc/hosts
. /settings
echo $name > /proc/sys/kernel/hostname
$b ip link set lo up
[ -z "$address" ] || { $b ip link set eth0 mtu $mtu up; $b ip addr add $address dev eth0; }
echo "lab: the agent starts"
$b chroot /root /usr/bin/python3 -I -S -B -c "import sys; sys.path.insert(0, '$code'); sys.argv[1:] = ['/dev/vport0p1']
import agent, runpy; runpy.run_path('$code/agent.py', run_name='__main__')"
echo "lab: the agent has ended"
$b poweroff -f
"""


def initramfs(modules, settings, shares, names):
    """`modules`: an archive with the drivers; `settings`: for the shell; `shares`: paths; `names`: lines of /etc/hosts."""
    archive = Cpio()
    for folder in ("bin", "dev", "proc", "sys", "lower", "upper", "root"):
        archive.folder(folder)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.file("bin/busybox", BUSYBOX.read_bytes())
    archive.file("init", INIT.encode())
    archive.file("settings", "".join(f"{key}='{value}'\n" for key, value in settings.items()).encode())
    archive.file("shares", "".join(f"{path}\n" for path in shares).encode())
    archive.file("hosts", names.encode())
    return archive.finish() + modules
